//! `round_robin`: one after the other.

use std::collections::VecDeque;

use super::choose::{Choose, Field, Wish};

/// A queue. One that left is taken out when its turn comes.
#[derive(Debug, Clone, Default)]
pub(super) struct RoundRobin {
    queue: VecDeque<u32>,
    queued: Vec<bool>,
}

impl Choose for RoundRobin {
    fn join(&mut self, index: u32, _weight: u32) {
        let place = index as usize;
        if self.queued.len() <= place {
            self.queued.resize(place + 1, false);
        }
        if !std::mem::replace(&mut self.queued[place], true) {
            self.queue.push_back(index);
        }
    }

    fn next(&mut self, field: &dyn Field, _wish: &Wish) -> Option<u32> {
        loop {
            let index = self.queue.pop_front()?;
            if field.has(index) {
                self.queue.push_back(index);
                return Some(index);
            }
            self.queued[index as usize] = false;
        }
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(self.clone())
    }
}
