//! The use of one period: what is known of everybody's, and what this instance used that is not part
//! of that.

/// The use from one moment to another.
#[derive(Debug)]
pub(super) struct Period {
    pub(super) start_us: i64,
    pub(super) end_us: Option<i64>,
    /// What is known of the use of all instances.
    known: u64,
    told: Told,
    /// What this instance used beyond what is known; less than nothing where it gave back.
    own: i128,
    /// How much of that Redis has not been told yet.
    owed: i128,
}

/// Who told what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nobody: what was used before this process is not known.
    Nobody,
    /// The log entries, or the calendar: it began while this instance counted.
    Log,
    /// Redis, whose data had this life.
    Redis(u64),
}

impl Period {
    pub(super) fn new(start_us: i64, end_us: Option<i64>) -> Period {
        Period { start_us, end_us, known: 0, told: Told::Nobody, own: 0, owed: 0 }
    }

    /// The one after it. It began while we counted: nothing of it was used before that.
    pub(super) fn next(start_us: i64, end_us: Option<i64>) -> Period {
        Period { told: Told::Log, ..Period::new(start_us, end_us) }
    }

    pub(super) fn used(&self) -> u64 {
        clamped(i128::from(self.known) + self.own)
    }

    /// What is known of the use of all, and who told it; none where nobody did.
    pub(super) fn known(&self) -> Option<(u64, Told)> {
        (self.told != Told::Nobody).then_some((self.known, self.told))
    }

    /// Up to how much one of so many instances may go: its share of what was left when the others
    /// were heard of last.
    pub(super) fn most(&self, limit: u64, instances: u64) -> u64 {
        match limit.checked_sub(self.known) {
            Some(left) => self.known + left.div_ceil(instances),
            None => limit,
        }
    }

    pub(super) fn add(&mut self, delta: i128) {
        self.own = (self.own + delta).max(-i128::from(self.known));
    }

    /// Redis is to be told of this.
    pub(super) fn owe(&mut self, delta: i128) {
        self.owed += delta;
    }

    /// The log tells what was used before this process began. What Redis told has that in it.
    pub(super) fn seed(&mut self, amount: u64) {
        if !matches!(self.told, Told::Redis(_)) {
            self.known = self.known.saturating_add(amount);
            self.told = Told::Log;
        }
    }

    /// Redis tells what is used, all of it: in this life of its data it knows what was used before.
    pub(super) fn hear(&mut self, used: u64, life: u64) {
        self.known = used;
        self.told = Told::Redis(life);
        self.own = self.owed;
    }

    /// Redis was told.
    pub(super) fn paid(&mut self, delta: i128) {
        self.owed -= delta;
    }
}

fn clamped(amount: i128) -> u64 {
    u64::try_from(amount.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_of_what_is_left() {
        let check = |known: u64, limit: u64, instances: u64, most: u64| {
            let mut period = Period::new(0, None);
            period.seed(known);
            assert_eq!(period.most(limit, instances), most, "{known} of {limit} by {instances}");
        };
        check(0, 100, 1, 100);
        check(0, 100, 3, 34);
        check(60, 100, 2, 80);
        check(100, 100, 2, 100);
        check(130, 100, 2, 100);
        check(130, 100, 1, 100);
    }

    #[test]
    fn what_redis_was_not_told_counts_beside_what_it_said() {
        let mut period = Period::new(0, None);
        period.seed(60);
        // Alone it used 10, and tells it later.
        period.add(10);
        period.owe(10);
        assert_eq!((period.used(), period.known()), (70, Some((60, Told::Log))));
        period.hear(65, 1);
        assert_eq!(period.used(), 75);
        period.paid(10);
        period.hear(75, 1);
        assert_eq!((period.used(), period.known()), (75, Some((75, Told::Redis(1)))));
        // What the log knows is a part of that.
        period.seed(70);
        assert_eq!(period.used(), 75);
    }

    #[test]
    fn nobody_gives_back_more_than_was_used() {
        let mut period = Period::new(0, None);
        period.seed(5);
        period.add(-9);
        period.add(2);
        assert_eq!(period.used(), 2);
    }
}
