//! Whose turn it is among the keys of a pool: those that may be used, in the order of the strategy,
//! and those that rest or have no room, by when they are back. A key that rests leaves when its
//! turn finds it resting, and comes back when its rest is over: a pick costs the same in a pool of
//! ten keys and of a hundred thousand.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use domain::Strategy;
use parking_lot::{Mutex, MutexGuard};

use super::{
    slot::Slot,
    strategy::{self, Candidate, Choose, Field, Wish},
};
use crate::pool::health::Out;

/// One order of the keys: that of the pool, or that of a model for which some of them rest.
#[derive(Debug)]
pub(super) struct Lane {
    turn: Mutex<Turn>,
    /// Keys that may be used sooner than it was said; a start with a large pool tells of all of them.
    back: Mutex<HashSet<u32>>,
    has_back: AtomicBool,
}

/// The keys, as they will be used.
#[derive(Debug)]
pub(super) struct Turn {
    ready: Ready,
    resting: BinaryHeap<Reverse<(i64, u32)>>,
    busy: BinaryHeap<Reverse<(i64, u32)>>,
    choose: Box<dyn Choose>,
}

/// The keys that may be used, in no order.
#[derive(Debug, Clone)]
struct Ready {
    list: Vec<u32>,
    /// Where each stands in the list.
    place: Vec<u32>,
}

/// A key that is not in the list has no place.
const NO_PLACE: u32 = u32::MAX;

/// The keys that may be used, as a strategy sees them.
struct Seen<'a> {
    slots: &'a [Arc<Slot>],
    ready: &'a Ready,
    now_us: i64,
}

impl Lane {
    pub(super) fn new(slots: &[Arc<Slot>], strategy: Strategy) -> Self {
        let (turn, back) = (Mutex::new(Turn::new(slots, strategy)), Mutex::default());
        Self { turn, back, has_back: AtomicBool::new(false) }
    }

    /// The turn at `now_us`: who has rested enough is back.
    pub(super) fn turn(
        &self,
        slots: &[Arc<Slot>],
        model: Option<&str>,
        now_us: i64,
    ) -> MutexGuard<'_, Turn> {
        let mut turn = self.turn.lock();
        if self.has_back.swap(false, Ordering::AcqRel) {
            for index in std::mem::take(&mut *self.back.lock()) {
                turn.look(slots, index, model, now_us);
            }
        }
        turn.wake(slots, model, now_us);
        turn
    }

    /// A key may be used again.
    pub(super) fn back(&self, index: u32) {
        self.back.lock().insert(index);
        self.has_back.store(true, Ordering::Release);
    }
}

impl Turn {
    fn new(slots: &[Arc<Slot>], strategy: Strategy) -> Self {
        let list: Vec<u32> = (0..slots.len() as u32).collect();
        let mut choose = strategy::of(strategy);
        for (slot, index) in slots.iter().zip(0..) {
            choose.join(index, slot.key.weight);
        }
        let ready = Ready { place: list.clone(), list };
        Self { ready, resting: BinaryHeap::new(), busy: BinaryHeap::new(), choose }
    }

    /// The same, to see what would be picked.
    pub(super) fn fork(&self) -> Self {
        Self {
            ready: self.ready.clone(),
            resting: self.resting.clone(),
            busy: self.busy.clone(),
            choose: self.choose.fork(),
        }
    }

    /// The next key that may be used, as far as is known.
    pub(super) fn next(&mut self, slots: &[Arc<Slot>], wish: &Wish, now_us: i64) -> Option<u32> {
        let seen = Seen { slots, ready: &self.ready, now_us };
        self.choose.next(&seen, wish)
    }

    /// How many keys may be used, as far as is known.
    pub(super) fn len(&self) -> usize {
        self.ready.list.len()
    }

    /// One of the keys that may be used, by its place among them.
    pub(super) fn at(&self, place: usize) -> Option<u32> {
        self.ready.list.get(place).copied()
    }

    /// A key turned out to be out.
    pub(super) fn leave(&mut self, index: u32, out: &Out) {
        if self.ready.remove(index) {
            self.choose.leave(index);
        }
        let heap = if out.busy { &mut self.busy } else { &mut self.resting };
        heap.push(Reverse((out.until_us, index)));
    }

    /// When the first key that has no room is looked at again.
    pub(super) fn free_us(&self) -> Option<i64> {
        self.busy.peek().map(|Reverse((until_us, _))| *until_us)
    }

    /// When the first key that rests is back, as far as is known.
    pub(super) fn rested_us(&self) -> Option<i64> {
        self.resting.peek().map(|Reverse((until_us, _))| *until_us)
    }

    /// Takes keys back whose time is over.
    fn wake(&mut self, slots: &[Arc<Slot>], model: Option<&str>, now_us: i64) {
        for busy in [false, true] {
            loop {
                let heap = if busy { &mut self.busy } else { &mut self.resting };
                match heap.peek() {
                    Some(Reverse((until_us, _))) if *until_us <= now_us => {}
                    _ => break,
                }
                let Some(Reverse((_, index))) = heap.pop() else { break };
                self.look(slots, index, model, now_us);
            }
        }
    }

    /// Looks at a key that is not among those that may be used: it is now, or is out for longer.
    fn look(&mut self, slots: &[Arc<Slot>], index: u32, model: Option<&str>, now_us: i64) {
        let Some(slot) = slots.get(index as usize).filter(|_| !self.ready.has(index)) else {
            return;
        };
        match slot.health.out(model, now_us) {
            Some(out) => self.leave(index, &out),
            None => {
                self.ready.insert(index);
                self.choose.join(index, slot.key.weight);
            }
        }
    }
}

impl Ready {
    fn has(&self, index: u32) -> bool {
        self.place[index as usize] != NO_PLACE
    }

    fn insert(&mut self, index: u32) {
        self.place[index as usize] = self.list.len() as u32;
        self.list.push(index);
    }

    fn remove(&mut self, index: u32) -> bool {
        let place = std::mem::replace(&mut self.place[index as usize], NO_PLACE);
        if place == NO_PLACE {
            return false;
        }
        self.list.swap_remove(place as usize);
        if let Some(moved) = self.list.get(place as usize) {
            self.place[*moved as usize] = place;
        }
        true
    }
}

impl Field for Seen<'_> {
    fn len(&self) -> usize {
        self.ready.list.len()
    }

    fn at(&self, place: usize) -> u32 {
        self.ready.list[place]
    }

    fn has(&self, index: u32) -> bool {
        self.ready.has(index)
    }

    fn candidate(&self, index: u32) -> Candidate {
        self.slots[index as usize].candidate(self.now_us)
    }

    fn id(&self, index: u32) -> u64 {
        self.slots[index as usize].key.id.0 as u64
    }
}
