//! The lanes of a socket: within one, responses come one after the other.

use std::collections::{HashMap, VecDeque};

use super::request::Create;

/// Most lanes that run at once, and most requests of one socket that wait.
const LANES_MAX: usize = 16;
const WAITING_MAX: usize = 64;

/// The lanes in which a response is being made, and what waits for them.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    running: HashMap<Option<String>, VecDeque<Create>>,
    waiting: usize,
}

/// There is no room for a request of this lane.
#[derive(Debug)]
pub(super) struct Refused(pub(super) Option<String>);

impl Lanes {
    /// Takes a request in: back comes what is to begin now; none where it waits.
    pub(super) fn take(&mut self, create: Create) -> Result<Option<Create>, Refused> {
        if let Some(line) = self.running.get_mut(&create.lane) {
            if self.waiting >= WAITING_MAX {
                return Err(Refused(create.lane));
            }
            self.waiting += 1;
            line.push_back(create);
            return Ok(None);
        }
        if self.running.len() >= LANES_MAX {
            return Err(Refused(create.lane));
        }
        self.running.insert(create.lane.clone(), VecDeque::new());
        Ok(Some(create))
    }

    /// The response of `lane` is over: back comes the next one, which is to begin now.
    pub(super) fn next_of(&mut self, lane: Option<String>) -> Option<Create> {
        let next = self.running.get_mut(&lane)?.pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(self.running.remove(&lane)),
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::socket::request::Asked;

    fn create(lane: Option<&str>) -> Create {
        let lane = lane.map(|lane| format!(",\"stream_id\":\"{lane}\"")).unwrap_or_default();
        let text = format!("{{\"type\":\"response.create\"{lane}}}");
        let Ok(Asked::Create(create)) = Asked::read(text.into()) else { panic!() };
        create
    }

    #[test]
    fn lanes_run_side_by_side_and_within_one_it_is_first_come_first_served() {
        let mut lanes = Lanes::default();
        assert!(lanes.take(create(None)).unwrap().is_some());
        assert!(lanes.take(create(None)).unwrap().is_none(), "it waits");
        assert!(lanes.take(create(Some("a"))).unwrap().is_some());
        assert!(lanes.next_of(None).is_some(), "what waited begins");
        assert!(lanes.next_of(None).is_none());
        assert!(lanes.take(create(None)).unwrap().is_some(), "the lane is free");
    }

    #[test]
    fn a_socket_that_asks_for_too_much_is_refused() {
        let mut lanes = Lanes::default();
        for n in 0..LANES_MAX {
            assert!(lanes.take(create(Some(&n.to_string()))).unwrap().is_some());
        }
        assert!(lanes.take(create(Some("one more"))).is_err());
        for _ in 0..WAITING_MAX {
            assert!(lanes.take(create(Some("0"))).unwrap().is_none());
        }
        assert!(lanes.take(create(Some("1"))).is_err());
    }
}
