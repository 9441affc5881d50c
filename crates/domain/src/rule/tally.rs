//! Counting towards a threshold, the same for running calls and for those of the past.

use std::collections::VecDeque;

use super::Threshold;

/// How often the conditions of one rule were met lately, by the calls that count together.
#[derive(Debug, Default)]
pub struct Tally {
    /// Of the last calls: when each was, and whether it met the conditions. Where a time is what
    /// counts, only those that did.
    calls: VecDeque<(i64, bool)>,
    met: u32,
}

impl Tally {
    /// Notes a call, and tells whether the threshold is reached by it. Then the count begins anew.
    pub fn note(&mut self, threshold: &Threshold, met: bool, now_us: i64) -> bool {
        match (threshold.last, threshold.window) {
            (Some(last), _) => {
                self.push(now_us, met);
                while self.calls.len() > last as usize {
                    self.pop();
                }
            }
            (None, Some(window)) => {
                let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
                let begins = now_us.saturating_sub(window);
                while self.calls.front().is_some_and(|(at, _)| *at <= begins) {
                    self.pop();
                }
                if met {
                    self.push(now_us, true);
                }
            }
            (None, None) if met => self.push(now_us, true),
            (None, None) => {}
        }
        let reached = met && self.met >= threshold.count;
        if reached {
            *self = Self::default();
        }
        reached
    }

    fn push(&mut self, at: i64, met: bool) {
        self.calls.push_back((at, met));
        self.met += u32::from(met);
    }

    fn pop(&mut self) {
        if let Some((_, met)) = self.calls.pop_front() {
            self.met -= u32::from(met);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rule::Per;

    /// At which of these calls, one a second, the threshold is reached.
    fn check(threshold: Threshold, calls: &str, expected: &[usize]) {
        let mut tally = Tally::default();
        let mut note = |at: usize, met| tally.note(&threshold, met, at as i64 * 1_000_000);
        let reached = calls.chars().enumerate().filter(|(at, call)| note(*at, *call == 'x'));
        assert_eq!(reached.map(|(at, _)| at).collect::<Vec<_>>(), expected, "{calls}");
    }

    #[test]
    fn so_many_of_the_last_calls() {
        let of_five = Threshold { count: 3, last: Some(5), window: None, per: Per::Key };
        check(of_five, "x.x.x", &[4]);
        check(of_five, "x..x..x..x", &[]);
        check(of_five, "xxxxxx", &[2, 5]);
        check(of_five, "xx...x", &[]);
    }

    #[test]
    fn so_many_within_a_time() {
        let window = Some(Duration::from_secs(3));
        let within = Threshold { count: 2, last: None, window, per: Per::Key };
        check(within, "x.x", &[2]);
        check(within, "x..x..x", &[]);
        check(within, "xxxxx", &[1, 3]);
    }
}
