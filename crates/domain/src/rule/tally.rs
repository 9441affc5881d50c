//! Counts attempts towards thresholds and keeps rules quiet after they fired; used for live
//! attempts and for past ones.

use std::collections::{HashMap, VecDeque};

use super::{Per, Rule, Threshold};
use crate::{ProviderKeyId, UpstreamId};

/// The subject of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempted {
    /// The upstream.
    pub upstream: UpstreamId,
    /// The provider key; `None` if the upstream has no keys.
    pub key: Option<ProviderKeyId>,
}

/// The counts of all rules by key and upstream. Each rule observes an attempt once.
#[derive(Debug)]
pub struct Tallies {
    /// Most keys and upstreams that are remembered.
    most: usize,
    tallies: HashMap<Place, Tally>,
}

/// The subject of one count. A changed rule counts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    rule: i64,
    version: i64,
    about: About,
}

/// The attempts that count together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum About {
    Key(i64),
    Upstream(i64),
}

/// The recent attempts of one rule that count together.
#[derive(Debug, Default)]
struct Tally {
    /// The times of the last attempts, and whether each met the conditions. For thresholds by time,
    /// only those that did.
    attempts: VecDeque<(i64, bool)>,
    met: u32,
    /// The time until which the rule is quiet.
    quiet_until: i64,
    touched: i64,
}

impl Rule {
    /// Whether the rule needs a count to decide when it fires.
    pub fn counts(&self) -> bool {
        self.threshold.is_some() || !self.cool_down.is_zero()
    }

    /// Whether attempts that do not meet its conditions count too.
    pub fn counts_misses(&self) -> bool {
        self.threshold.is_some_and(|threshold| threshold.last.is_some())
    }
}

impl Attempted {
    /// Returns a number that is the same for all attempts that count together for `rule`.
    pub fn together(&self, rule: &Rule) -> u64 {
        let about = match self.counted_by(rule) {
            About::Key(id) | About::Upstream(id) => id,
        };
        rule.id.0.wrapping_mul(31).wrapping_add(about) as u64
    }

    fn counted_by(&self, rule: &Rule) -> About {
        match rule.threshold.map_or(Per::Key, |threshold| threshold.per) {
            Per::Key => self.about(),
            Per::Upstream => About::Upstream(self.upstream.0),
        }
    }

    fn about(&self) -> About {
        self.key.map_or(About::Upstream(self.upstream.0), |key| About::Key(key.0))
    }
}

impl Tallies {
    /// Creates empty counts for at most `most` keys and upstreams.
    pub fn new(most: usize) -> Self {
        Self { most: most.max(1), tallies: HashMap::new() }
    }

    /// Returns the number of remembered keys and upstreams.
    pub fn len(&self) -> usize {
        self.tallies.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.tallies.is_empty()
    }

    /// Observes one attempt, which met the conditions of `rule` or not; returns whether the rule
    /// fires.
    pub fn observe(&mut self, rule: &Rule, of: Attempted, met: bool, now_us: i64) -> bool {
        let place = |about| Place { rule: rule.id.0, version: rule.version, about };
        let reached = match &rule.threshold {
            None => met,
            Some(_) if !met && !rule.counts_misses() => false,
            Some(threshold) => {
                let at = place(of.counted_by(rule));
                // Misses of a key without a count need not be remembered.
                if !met && !self.tallies.contains_key(&at) {
                    return false;
                }
                self.tally(at, now_us).note(threshold, met, now_us)
            }
        };
        if !reached || rule.cool_down.is_zero() {
            return reached;
        }
        // It is quiet about the key, whatever attempts count together.
        let tally = self.tally(place(of.about()), now_us);
        let quiet = now_us < tally.quiet_until;
        if !quiet {
            let micros = i64::try_from(rule.cool_down.as_micros()).unwrap_or(i64::MAX);
            tally.quiet_until = now_us.saturating_add(micros);
        }
        !quiet
    }

    /// Returns the attempts, in order of time, at which `rule` would have fired.
    pub fn replay(
        rule: &Rule,
        attempts: impl IntoIterator<Item = (Attempted, bool, i64)>,
    ) -> Vec<bool> {
        let mut tallies = Tallies::new(Self::MOST);
        let attempts = attempts.into_iter();
        attempts.map(|(of, met, at_us)| tallies.observe(rule, of, met, at_us)).collect()
    }

    /// Most keys and upstreams with counts, over all rules.
    pub const MOST: usize = 100_000;

    /// Returns the count of a subject. When there is no capacity left, the counts used longest ago
    /// are removed.
    fn tally(&mut self, place: Place, now_us: i64) -> &mut Tally {
        if self.tallies.len() >= self.most && !self.tallies.contains_key(&place) {
            let mut touched: Vec<i64> = self.tallies.values().map(|tally| tally.touched).collect();
            let middle = touched.len() / 2;
            let (older, median, _) = touched.select_nth_unstable(middle);
            let median = *median;
            // All that are older go; of those as old as the median, as many as half of all leaves.
            let older = older.iter().filter(|touched| **touched < median).count();
            let mut as_old = middle.max(1) - older;
            self.tallies.retain(|_, tally| {
                let goes = tally.touched < median || (tally.touched == median && as_old > 0);
                as_old -= usize::from(goes && tally.touched == median);
                !goes
            });
        }
        let tally = self.tallies.entry(place).or_default();
        tally.touched = now_us;
        tally
    }
}

impl Tally {
    /// Notes an attempt and returns whether it reaches the threshold; then the count begins anew.
    fn note(&mut self, threshold: &Threshold, met: bool, now_us: i64) -> bool {
        match (threshold.last, threshold.window) {
            (Some(last), _) => {
                self.push(now_us, met);
                while self.attempts.len() > last as usize {
                    self.pop();
                }
            }
            (None, Some(window)) => {
                let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
                let begins = now_us.saturating_sub(window);
                while self.attempts.front().is_some_and(|(at, _)| *at <= begins) {
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
            (self.attempts, self.met) = (VecDeque::new(), 0);
        }
        reached
    }

    fn push(&mut self, at: i64, met: bool) {
        self.attempts.push_back((at, met));
        self.met += u32::from(met);
    }

    fn pop(&mut self) {
        if let Some((_, met)) = self.attempts.pop_front() {
            self.met -= u32::from(met);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        Condition, RuleId, UserId,
        rule::{Action, Operator, Subject, Test},
    };

    fn rule(threshold: Option<Threshold>, cool_down: u64) -> Rule {
        let test = Test {
            subject: Subject::StatusCode,
            name: None,
            operator: Operator::Equals,
            value: 429.into(),
        };
        Rule {
            id: RuleId(1),
            owner: UserId(1),
            upstream: None,
            name: "busy".to_owned(),
            conditions: Condition::Is(test),
            threshold,
            actions: vec![Action::Log],
            auto_enable_delay: None,
            cool_down: Duration::from_secs(cool_down),
            priority: 0,
            stops: false,
            shadow: false,
            enabled: true,
            version: 1,
        }
    }

    fn with(key: i64) -> Attempted {
        Attempted { upstream: UpstreamId(1), key: Some(ProviderKeyId(key)) }
    }

    /// At which of these attempts, one a second, the rule fires.
    fn check(rule: &Rule, attempts: &str, expected: &[usize]) {
        let attempts_at = attempts.chars().zip(0..);
        let fired = Tallies::replay(
            rule,
            attempts_at.map(|(attempt, at)| {
                let key = i64::from(attempt.is_ascii_uppercase());
                (with(key), attempt.eq_ignore_ascii_case(&'x'), at * 1_000_000)
            }),
        );
        let fired: Vec<usize> = (0..fired.len()).filter(|at| fired[*at]).collect();
        assert_eq!(fired, expected, "{attempts}");
    }

    fn threshold(count: u32, last: Option<u32>, seconds: Option<u64>, per: Per) -> Rule {
        let window = seconds.map(Duration::from_secs);
        rule(Some(Threshold { count, last, window, per }), 0)
    }

    #[test]
    fn so_many_of_the_last_attempts() {
        let of_five = threshold(3, Some(5), None, Per::Key);
        check(&of_five, "x.x.x", &[4]);
        check(&of_five, "x..x..x..x", &[]);
        check(&of_five, "xxxxxx", &[2, 5]);
        check(&of_five, "xx...x", &[]);
        check(&of_five, "......xxx", &[8]);
        check(&of_five, "xXxXxX", &[4, 5]);
    }

    #[test]
    fn so_many_within_a_time() {
        let within = threshold(2, None, Some(3), Per::Key);
        check(&within, "x.x", &[2]);
        check(&within, "x..x..x", &[]);
        check(&within, "xxxxx", &[1, 3]);
        check(&within, "xXxX", &[2, 3]);
        check(&threshold(2, None, Some(3), Per::Upstream), "xXxX", &[1, 3]);
    }

    #[test]
    fn it_is_quiet_about_the_same_key_for_a_while() {
        check(&rule(None, 3), "xxXxXX", &[0, 2, 3, 5]);
        let mut together = threshold(2, None, Some(10), Per::Upstream);
        together.cool_down = Duration::from_secs(4);
        check(&together, "xXxXxXxX", &[1, 5]);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_oldest_goes_first() {
        let rule = rule(None, 3600);
        let mut tallies = Tallies::new(10);
        assert!((0..1000).all(|n| tallies.observe(&rule, with(n), true, n)));
        assert!(tallies.len() <= 10);
        assert!(!tallies.observe(&rule, with(999), true, 1000), "the last one is known");
        assert!(tallies.observe(&rule, with(0), true, 1000), "the first one is forgotten");
    }
}
