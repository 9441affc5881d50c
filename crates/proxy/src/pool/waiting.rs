//! The line in which calls wait for a place at a saturated upstream: fair between service keys,
//! first come first served within one, bounded, each with its own deadline.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use domain::ServiceKeyId;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, futures::Notified, oneshot},
    time::{Instant, timeout_at},
};

/// Most calls in one line, and most of one service key.
const WAITERS_MAX: usize = 1000;
const WAITERS_OF_ONE_MAX: usize = 100;

/// The line of one upstream.
#[derive(Debug, Default)]
pub(crate) struct WaitingLine {
    inner: Mutex<Inner>,
    ended: Notify,
}

/// A place at the upstream; another call gets it when this is dropped.
#[derive(Debug)]
pub(crate) struct Ticket(Option<Arc<WaitingLine>>);

/// Why there was no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// Too many wait already.
    Full,
    /// None became free in time.
    Late,
}

#[derive(Debug, Default)]
struct Inner {
    places: Option<u32>,
    taken: u32,
    waiting: usize,
    of: HashMap<ServiceKeyId, VecDeque<(u64, oneshot::Sender<Ticket>)>>,
    /// Whose turn it is: each that has waiting calls, once.
    turns: VecDeque<ServiceKeyId>,
    last: u64,
}

impl WaitingLine {
    /// Takes a place, of at most `places`, at once or by `deadline`.
    pub(crate) async fn enter(
        self: &Arc<Self>,
        who: ServiceKeyId,
        places: Option<u32>,
        deadline: Instant,
    ) -> Result<Ticket, NoPlace> {
        let (number, ready) = {
            let mut inner = self.inner.lock();
            inner.places = places;
            self.admit(&mut inner);
            if inner.waiting == 0 && inner.has_room() {
                inner.taken += 1;
                return Ok(Ticket(Some(self.clone())));
            }
            inner.join(who)?
        };
        let _leaves = Leaves { line: self, who, number };
        match timeout_at(deadline, ready).await {
            Ok(Ok(ticket)) => Ok(ticket),
            _ => Err(NoPlace::Late),
        }
    }

    /// How many calls wait.
    pub(crate) fn waiting(&self) -> usize {
        self.inner.lock().waiting
    }

    /// Ends when a call on the upstream has ended after this was called: it is called before the
    /// pool is looked at, and awaited after, so that no end is missed.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.ended.notified()
    }

    /// Gives free places to those who wait, one service key after the other.
    fn admit(self: &Arc<Self>, inner: &mut Inner) {
        while inner.has_room() {
            let Some(ready) = inner.next() else { return };
            inner.taken += 1;
            if let Err(mut ticket) = ready.send(Ticket(Some(self.clone()))) {
                // Its caller has just left. The lock is held: the ticket must not come back here.
                ticket.0 = None;
                inner.taken -= 1;
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(line) = self.0.take() else { return };
        let mut inner = line.inner.lock();
        inner.taken -= 1;
        line.admit(&mut inner);
        drop(inner);
        line.ended.notify_waiters();
    }
}

impl Inner {
    fn has_room(&self) -> bool {
        self.places.is_none_or(|places| self.taken < places)
    }

    fn join(&mut self, who: ServiceKeyId) -> Result<(u64, oneshot::Receiver<Ticket>), NoPlace> {
        let of_one = self.of.get(&who).map_or(0, VecDeque::len);
        if self.waiting >= WAITERS_MAX || of_one >= WAITERS_OF_ONE_MAX {
            return Err(NoPlace::Full);
        }
        if of_one == 0 {
            self.turns.push_back(who);
        }
        self.last += 1;
        self.waiting += 1;
        let (give, ready) = oneshot::channel();
        self.of.entry(who).or_default().push_back((self.last, give));
        Ok((self.last, ready))
    }

    fn next(&mut self) -> Option<oneshot::Sender<Ticket>> {
        let who = self.turns.pop_front()?;
        let waiters = self.of.get_mut(&who)?;
        let (_, ready) = waiters.pop_front()?;
        self.waiting -= 1;
        if waiters.is_empty() {
            self.of.remove(&who);
        } else {
            self.turns.push_back(who);
        }
        Some(ready)
    }

    fn leave(&mut self, who: ServiceKeyId, number: u64) {
        let Some(waiters) = self.of.get_mut(&who) else { return };
        let Some(place) = waiters.iter().position(|(n, _)| *n == number) else { return };
        waiters.remove(place);
        self.waiting -= 1;
        if waiters.is_empty() {
            self.of.remove(&who);
            self.turns.retain(|turn| *turn != who);
        }
    }
}

/// Takes a call out of the line that no longer waits, whatever the reason.
struct Leaves<'a> {
    line: &'a WaitingLine,
    who: ServiceKeyId,
    number: u64,
}

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.line.inner.lock().leave(self.who, self.number);
    }
}

#[cfg(test)]
mod tests;
