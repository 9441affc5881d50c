//! Which one answered the calls that belong together last. What was not gone on with for a time is
//! forgotten, and of too many the older half.

use std::{collections::HashMap, time::Duration};

use crate::clock::micros;

/// Most that are remembered in each half.
const HALF: usize = 50_000;

/// Which one answered the calls that belong together last.
#[derive(Debug, Default)]
pub(crate) struct Stickiness {
    young: HashMap<u64, Kept>,
    old: HashMap<u64, Kept>,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    /// Which one, by its id.
    id: u64,
    at_us: i64,
}

impl Stickiness {
    /// Which one it was, where that is not too long ago.
    pub(crate) fn of(&self, belongs: u64, ttl: Duration, now_us: i64) -> Option<u64> {
        let kept = self.young.get(&belongs).or_else(|| self.old.get(&belongs))?;
        (now_us - kept.at_us < micros(ttl)).then_some(kept.id)
    }

    /// It is this one from now on.
    pub(crate) fn keep(&mut self, belongs: u64, id: u64, now_us: i64) {
        if self.young.len() >= HALF && !self.young.contains_key(&belongs) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(belongs, Kept { id, at_us: now_us });
    }
}

/// Whether one more call is within what one may have, where all together have `total` calls and
/// there are `count` of them: the average times `percent` of a hundred, rounded up (consistent
/// hashing with bounded loads: Mirrokni, Thorup and Zadimoghaddam, 2018).
pub(crate) fn within(load: u32, total: u64, count: usize, percent: u32) -> bool {
    let most = (total + 1) * u64::from(percent);
    u64::from(load) < most.div_ceil(100 * count.max(1) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_together_is_remembered_for_a_time() {
        let (mut sticky, ttl) = (Stickiness::default(), Duration::from_secs(300));
        sticky.keep(1, 7, 0);
        assert_eq!(sticky.of(1, ttl, 299_999_999), Some(7));
        assert_eq!(sticky.of(1, ttl, 300_000_000), None);
        assert_eq!(sticky.of(2, ttl, 0), None);
        for other in 10..10 + 3 * HALF as u64 {
            sticky.keep(other, 8, 1);
        }
        assert_eq!(sticky.of(1, ttl, 1), None, "too many came after it");
        assert!(sticky.young.len() + sticky.old.len() <= 2 * HALF);
    }

    #[test]
    fn a_load_is_bounded_by_the_average() {
        assert!(within(0, 0, 10, 150), "an idle one takes a call");
        assert!(!within(1, 1, 10, 150), "a second one goes elsewhere when the others are idle");
        assert!(within(14, 99, 10, 150) && !within(15, 99, 10, 150));
    }
}
