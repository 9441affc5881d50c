//! Counts calls that show a service key which is not accepted. Only refused calls come here; what
//! is counted is bounded, however many addresses and keys somebody tries.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{KeyFault, RefusedKey};
use parking_lot::Mutex;

/// Most addresses that are told apart; the others are counted together.
const ADDRESSES: usize = 1024;
/// Most keys of one address that are told apart within [`WINDOW`].
const KEYS_OF_ADDRESS: usize = 32;
/// Most rows that wait to be taken.
const ROWS: usize = 4096;
/// After this long, addresses and keys are told apart anew.
const WINDOW: TimeDelta = TimeDelta::hours(1);

/// The counts since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct RefusedKeys(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    /// The keys that each address showed in this window.
    told_apart: HashMap<Option<String>, Vec<String>>,
    /// When the window began.
    since: DateTime<Utc>,
    counts: HashMap<(Option<String>, Option<String>, KeyFault), RefusedKey>,
}

impl RefusedKeys {
    /// Counts a call from `address` that showed the key with this public id.
    pub(crate) fn count(
        &self,
        address: Option<String>,
        key_id: Option<&str>,
        fault: KeyFault,
        now: DateTime<Utc>,
    ) {
        let mut counts = self.0.lock();
        let (address, key_id) = counts.bounded(address, key_id, now);
        let mut place = (address, key_id, fault);
        if counts.counts.len() >= ROWS && !counts.counts.contains_key(&place) {
            place = (None, None, fault);
        }
        let (address, key_id, _) = place.clone();
        let new = || RefusedKey { address, key_id, fault, count: 0, first_at: now, last_at: now };
        let row = counts.counts.entry(place).or_insert_with(new);
        row.count += 1;
        row.last_at = now;
    }

    /// Takes what was counted since the last time.
    pub(crate) fn take(&self) -> Vec<RefusedKey> {
        std::mem::take(&mut self.0.lock().counts).into_values().collect()
    }
}

impl Counts {
    /// Where a call is counted: by itself, or with the others where there are too many.
    fn bounded(
        &mut self,
        address: Option<String>,
        key_id: Option<&str>,
        now: DateTime<Utc>,
    ) -> (Option<String>, Option<String>) {
        if now - self.since >= WINDOW {
            self.told_apart.clear();
            self.since = now;
        }
        let full = self.told_apart.len() >= ADDRESSES;
        if full && !self.told_apart.contains_key(&address) {
            return (None, None);
        }
        let keys = self.told_apart.entry(address.clone()).or_default();
        let Some(key_id) = key_id else { return (address, None) };
        if keys.iter().any(|known| known == key_id) {
            return (address, Some(key_id.to_owned()));
        }
        if keys.len() >= KEYS_OF_ADDRESS {
            return (address, None);
        }
        keys.push(key_id.to_owned());
        (address, Some(key_id.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn calls_of_one_address_with_one_key_are_one_row() {
        let refused = RefusedKeys::default();
        for second in 0..3 {
            refused.count(
                Some("192.0.2.1".into()),
                Some("abcdefgh"),
                KeyFault::Unknown,
                at(second),
            );
        }
        refused.count(Some("192.0.2.1".into()), None, KeyFault::Unknown, at(9));
        let mut rows = refused.take();
        rows.sort_by_key(|row| row.count);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].key_id.as_deref(), rows[0].count), (None, 1));
        assert_eq!((rows[1].key_id.as_deref(), rows[1].count), (Some("abcdefgh"), 3));
        assert_eq!((rows[1].first_at, rows[1].last_at), (at(0), at(2)));
        assert_eq!(refused.take(), []);
    }

    #[test]
    fn however_many_are_tried_the_rows_are_bounded_and_no_call_is_uncounted() {
        let refused = RefusedKeys::default();
        for address in 0..5000 {
            refused.count(Some(format!("a{address}")), Some("k"), KeyFault::Unknown, at(0));
        }
        for key in 0..5000 {
            let key = format!("key{key}");
            refused.count(Some("a1".into()), Some(&key), KeyFault::Unknown, at(1));
        }
        let rows = refused.take();
        assert!(rows.len() <= ADDRESSES + KEYS_OF_ADDRESS + 2, "{}", rows.len());
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 10_000);

        refused.count(Some("new".into()), Some("k"), KeyFault::Expired, at(3601));
        assert_eq!(refused.take()[0].address.as_deref(), Some("new"), "a new window has room");
    }
}
