//! The memory that request bodies take: a total, and a share of it for each service key and each
//! client address, so that one caller cannot keep the bodies of all others out.
//!
//! Bytes are counted as they arrive, never as they are declared. The share is dynamic, as in the
//! shared buffers of network switches (Choudhury and Hahne, "Dynamic queue length thresholds",
//! 1998): a holder may have as much as remains free, so one holder alone gets half of the total, two
//! a third each, and there is always room for one more.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use domain::ServiceKeyId;
use foldhash::fast::RandomState;
use parking_lot::Mutex;

/// Memory is counted in steps of so many bytes while a body arrives, to count seldom.
const STEP: u64 = 16 << 10;

/// Who has a share of the memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Holder {
    Key(ServiceKeyId),
    Address(IpAddr),
}

/// The holders of one body; none for memory that nobody's share is reduced by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Holders([Option<Holder>; 2]);

impl Holders {
    /// The service key, and the client's address where it is counted. All addresses of an IPv6
    /// network of 64 bits, which one client may have, are one holder.
    pub(crate) fn of(key: ServiceKeyId, address: Option<IpAddr>) -> Self {
        let network = address.map(|address| match address {
            IpAddr::V6(ip) => IpAddr::V6((ip.to_bits() >> 64 << 64).into()),
            v4 => v4,
        });
        Self([Some(Holder::Key(key)), network.map(Holder::Address)])
    }

    fn iter(&self) -> impl Iterator<Item = Holder> {
        self.0.into_iter().flatten()
    }
}

/// The memory for bodies, and who has how much of it.
#[derive(Debug)]
pub(crate) struct BodyMemory {
    total: u64,
    /// So much a holder may have however little is free: one body of the largest size.
    least: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    total: u64,
    /// Only holders that have something are here, so the map is as bounded as the memory.
    by_holder: HashMap<Holder, u64, RandomState>,
}

impl Used {
    fn of(&self, holder: Holder) -> u64 {
        self.by_holder.get(&holder).copied().unwrap_or(0)
    }
}

impl BodyMemory {
    /// `total` bytes, of which each holder may always have `least` while they are free.
    pub(crate) fn new(total: u64, least: u64) -> Arc<Self> {
        Arc::new(Self { total, least, used: Mutex::default() })
    }

    /// Counts `bytes`; `None` where there is no room for them.
    pub(crate) fn hold(self: &Arc<Self>, holders: Holders, bytes: u64) -> Option<Held> {
        let mut held = Held { memory: self.clone(), holders, bytes: 0 };
        held.grow(bytes).then_some(held)
    }

    fn has_room(&self, used: &Used, holders: &Holders, more: u64) -> bool {
        let after = used.total.saturating_add(more);
        let Some(free) = self.total.checked_sub(after) else { return false };
        let share = free.max(self.least);
        holders.iter().all(|holder| used.of(holder).saturating_add(more) <= share)
    }
}

/// Memory that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    memory: Arc<BodyMemory>,
    holders: Holders,
    bytes: u64,
}

impl Held {
    /// Counts `here` bytes in all, of a body that has at most `most`; false where there is no room.
    pub(crate) fn holds(&mut self, here: u64, most: u64) -> bool {
        if here <= self.bytes {
            return true;
        }
        let step = here.saturating_add(STEP - 1) / STEP * STEP;
        let wanted = step.min(most).max(here);
        self.grow(wanted - self.bytes)
    }

    /// Whether `bytes` in all could be counted now.
    pub(crate) fn would_hold(&self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        self.memory.has_room(&self.memory.used.lock(), &self.holders, more)
    }

    /// Counts `bytes` more for the same holders; none where there is no room for them.
    pub(crate) fn another(&self, bytes: u64) -> Option<Held> {
        self.memory.hold(self.holders, bytes)
    }

    fn grow(&mut self, more: u64) -> bool {
        if more == 0 {
            return true;
        }
        let mut used = self.memory.used.lock();
        if !self.memory.has_room(&used, &self.holders, more) {
            return false;
        }
        used.total += more;
        for holder in self.holders.iter() {
            *used.by_holder.entry(holder).or_default() += more;
        }
        self.bytes += more;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut used = self.memory.used.lock();
        used.total -= self.bytes;
        for holder in self.holders.iter() {
            let Some(of_holder) = used.by_holder.get_mut(&holder) else { continue };
            *of_holder -= self.bytes;
            if *of_holder == 0 {
                used.by_holder.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: i64) -> Holders {
        Holders::of(ServiceKeyId(key), None)
    }

    #[test]
    fn one_holder_gets_half_and_two_a_third_each() {
        let memory = BodyMemory::new(120, 10);
        let one = memory.hold(of(1), 60).unwrap();
        assert!(memory.hold(of(1), 1).is_none());
        let two = memory.hold(of(2), 30).unwrap();
        assert!(memory.hold(of(2), 1).is_none(), "30 are free");
        drop(one);
        let more = memory.hold(of(2), 15).unwrap();
        let mut grown = memory.hold(of(1), 0).unwrap();
        assert!(grown.would_hold(37) && !grown.would_hold(38));
        assert!(grown.holds(20, 20) && !grown.holds(38, 38) && grown.holds(37, 37));
        drop((two, more, grown));
        assert!(memory.used.lock().by_holder.is_empty() && memory.used.lock().total == 0);
    }

    #[test]
    fn a_largest_body_always_fits_while_it_is_free() {
        let memory = BodyMemory::new(100, 80);
        let one = memory.hold(of(1), 80).unwrap();
        assert!(memory.hold(of(2), 21).is_none() && memory.hold(of(2), 20).is_some());
        drop(one);
    }

    #[test]
    fn an_address_has_a_share_whatever_keys_it_shows() {
        let memory = BodyMemory::new(100, 1);
        let at = |key, ip: &str| Holders::of(ServiceKeyId(key), Some(ip.parse().unwrap()));
        let _held = memory.hold(at(1, "2001:db8::1"), 50).unwrap();
        assert!(memory.hold(at(2, "2001:db8::ffff"), 20).is_none(), "the same network");
        assert!(memory.hold(at(2, "2001:db8:0:1::1"), 20).is_some());
    }

    #[test]
    fn memory_is_counted_in_steps_while_a_body_arrives() {
        let memory = BodyMemory::new(1 << 20, 1);
        let mut held = memory.hold(of(1), 0).unwrap();
        let mut check = |here, most, counted| {
            assert!(held.holds(here, most));
            assert_eq!(memory.used.lock().total, counted);
        };
        check(100, 500, 500);
        check(600, 1 << 20, STEP);
        check(STEP + 1, 1 << 20, 2 * STEP);
    }
}
