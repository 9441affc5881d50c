//! `random`: any, with equal chance.

use super::choose::{Choose, Field, Wish};

#[derive(Debug)]
pub(super) struct Random;

impl Choose for Random {
    fn next(&mut self, field: &dyn Field, _wish: &Wish) -> Option<u32> {
        match field.len() {
            0 => None,
            len => Some(field.at(rand::random_range(0..len))),
        }
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(Random)
    }
}
