//! The use of one period: the known use of all instances, and the use of this instance that is not
//! part of it.

/// The use of one period.
#[derive(Debug)]
pub(super) struct Period {
    pub(super) start_us: i64,
    pub(super) end_us: Option<i64>,
    /// The known use of all instances.
    known: u64,
    told: Told,
    /// The use of this instance beyond the known use; negative after corrections.
    own: i128,
    /// The part of it that Redis does not know yet.
    owed: i128,
}

/// The source of the known use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// None: the use before this process is unknown.
    Nobody,
    /// The log entries, or the calendar: the period began while this instance counted.
    Log,
    /// Redis, whose data had this life.
    Redis(u64),
}

impl Period {
    pub(super) fn new(start_us: i64, end_us: Option<i64>) -> Period {
        Period { start_us, end_us, known: 0, told: Told::Nobody, own: 0, owed: 0 }
    }

    /// Creates a period that began while this instance counted: nothing was used before.
    pub(super) fn next(start_us: i64, end_us: Option<i64>) -> Period {
        Period { told: Told::Log, ..Period::new(start_us, end_us) }
    }

    pub(super) fn used(&self) -> u64 {
        clamped(i128::from(self.known) + self.own)
    }

    /// Returns the known use of all and its source; `None` if it is unknown.
    pub(super) fn known(&self) -> Option<(u64, Told)> {
        (self.told != Told::Nobody).then_some((self.known, self.told))
    }

    /// Returns the total for one of `instances`: its share of what was left at the last report.
    pub(super) fn most(&self, limit: u64, instances: u64) -> u64 {
        match limit.checked_sub(self.known) {
            Some(left) => self.known + left.div_ceil(instances),
            None => limit,
        }
    }

    pub(super) fn add(&mut self, delta: i128) {
        self.own = (self.own + delta).max(-i128::from(self.known));
    }

    /// Adds a change that Redis must learn.
    pub(super) fn owe(&mut self, delta: i128) {
        self.owed += delta;
    }

    /// Adds the use from the log. The use reported by Redis includes it.
    pub(super) fn seed(&mut self, amount: u64) {
        if !matches!(self.told, Told::Redis(_)) {
            self.known = self.known.saturating_add(amount);
            self.told = Told::Log;
        }
    }

    /// Sets the whole use reported by Redis, for this life of its data.
    pub(super) fn hear(&mut self, used: u64, life: u64) {
        self.known = used;
        self.told = Told::Redis(life);
        self.own = self.owed;
    }

    /// Notes that Redis knows a change.
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
        // Alone it used 10 and reports that later.
        period.add(10);
        period.owe(10);
        assert_eq!((period.used(), period.known()), (70, Some((60, Told::Log))));
        period.hear(65, 1);
        assert_eq!(period.used(), 75);
        period.paid(10);
        period.hear(75, 1);
        assert_eq!((period.used(), period.known()), (75, Some((75, Told::Redis(1)))));
        // The use from the log is a part of it.
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
