//! `remaining_quota`: with a chance in proportion to what is left of each one's quota.

use super::choose::{Choose, Field, Wish, some};

#[derive(Debug)]
pub(super) struct RemainingQuota;

impl Choose for RemainingQuota {
    fn next(&mut self, field: &dyn Field, _wish: &Wish) -> Option<u32> {
        let left = |index| u64::from(field.candidate(index).remaining_permille);
        let seen: Vec<(u32, u64)> = some(field).map(|index| (index, left(index))).collect();
        let total: u64 = seen.iter().map(|(_, left)| left).sum();
        if total == 0 {
            return seen.first().map(|(index, _)| *index);
        }
        let mut drawn = rand::random_range(0..total);
        seen.iter().find_map(|(index, left)| match drawn.checked_sub(*left) {
            Some(rest) => {
                drawn = rest;
                None
            }
            None => Some(*index),
        })
    }

    fn fork(&self) -> Box<dyn Choose> {
        Box::new(RemainingQuota)
    }
}
