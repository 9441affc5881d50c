//! One counter in memory. The caller supplies the time.

use std::collections::VecDeque;
use std::time::Duration;

use super::Measure;
use super::period::Period;

/// The number of parts of a sliding window.
pub(super) const SLICES: i64 = 60;

/// Returns the length of one part of a sliding window, in microseconds.
pub(super) fn slice_us(window: Duration) -> i64 {
    let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX / 4);
    ((window + SLICES - 1) / SLICES).max(1)
}

/// The use of one counter.
#[derive(Debug)]
pub(super) struct Count {
    how: How,
    /// The time of the last access, in microseconds since 1970.
    pub(super) touched_us: i64,
    /// The use of all instances. A period stores that itself, once the earlier use is known.
    heard: Option<Heard>,
    /// The amount that running calls of this instance hold.
    open: u64,
}

/// The last answer of Redis, and the use of this instance since.
#[derive(Debug, Clone, Copy)]
struct Heard {
    used: u64,
    at_us: i64,
}

/// The time in which the number of running calls of other instances is believed, in microseconds.
const CALLS_HEARD_US: i64 = 60_000_000;

#[derive(Debug)]
enum How {
    /// The amount taken and not yet refilled, multiplied by the window, so that nothing is rounded.
    Bucket {
        window_us: i128,
        out: i128,
        rate: u64,
        at_us: i64,
    },
    /// The amounts of the parts of the window that are not empty, the oldest first.
    Sliding {
        slice_us: i64,
        slices: VecDeque<(i64, u64)>,
        total: u64,
    },
    AtOnce(u64),
    Period(Period),
}

/// The position of a noted amount, for corrections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Bucket,
    Slice(i64),
    AtOnce,
    Period(i64),
}

/// The amount does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) used: u64,
    /// The available total.
    pub(super) most: u64,
    pub(super) until_us: Option<i64>,
    /// Whether it would fit without the reservations of running calls.
    pub(super) may_end: bool,
}

impl Count {
    pub(super) fn new(measure: &Measure, now_us: i64) -> Count {
        let how = match *measure {
            Measure::Bucket { window, .. } => {
                How::Bucket { window_us: window_us(window), out: 0, rate: 0, at_us: now_us }
            }
            Measure::Sliding { window } => {
                How::Sliding { slice_us: slice_us(window), slices: VecDeque::new(), total: 0 }
            }
            Measure::AtOnce => How::AtOnce(0),
            Measure::Period { start_us, end_us } => How::Period(Period::new(start_us, end_us)),
        };
        Count { how, touched_us: now_us, heard: None, open: 0 }
    }

    /// Advances it to `now`, to the requested period, and to another measure if that changed.
    pub(super) fn meet(&mut self, measure: &Measure, now_us: i64) {
        self.touched_us = self.touched_us.max(now_us);
        match (&mut self.how, *measure) {
            (How::Bucket { window_us: own, .. }, Measure::Bucket { window, .. })
                if *own == window_us(window) =>
            {
                self.pass(now_us);
            }
            (How::Sliding { slice_us: own, .. }, Measure::Sliding { window })
                if *own == slice_us(window) =>
            {
                self.pass(now_us);
            }
            (How::AtOnce(_), Measure::AtOnce) => {}
            (How::Period(period), Measure::Period { start_us, end_us }) => {
                if start_us > period.start_us {
                    *period = Period::next(start_us, end_us);
                    (self.heard, self.open) = (None, 0);
                }
            }
            _ => *self = Count::new(measure, now_us),
        }
    }

    /// Advances the time.
    fn pass(&mut self, now_us: i64) {
        match &mut self.how {
            How::Bucket { out, rate, at_us, .. } => {
                let passed = i128::from(now_us - *at_us).max(0);
                *out = (*out - passed * i128::from(*rate)).max(0);
                *at_us = now_us.max(*at_us);
            }
            How::Sliding { slice_us, slices, total } => {
                let oldest = now_us.div_euclid(*slice_us) - SLICES;
                while let Some((slice, amount)) = slices.front().copied()
                    && slice < oldest
                {
                    *total = total.saturating_sub(amount);
                    slices.pop_front();
                }
            }
            How::AtOnce(_) | How::Period(_) => {}
        }
    }

    /// Returns the used amount.
    pub(super) fn used(&self) -> u64 {
        match &self.how {
            How::Bucket { window_us, out, .. } => {
                u64::try_from((out + window_us - 1) / window_us).unwrap_or(u64::MAX)
            }
            How::Sliding { total, .. } => *total,
            How::AtOnce(now) => *now,
            How::Period(period) => period.used(),
        }
    }

    /// Returns the share of one instance.
    fn most(&self, measure: &Measure, limit: u64, instances: u32) -> u64 {
        match (&self.how, measure) {
            (How::Period(period), _) => period.most(limit, u64::from(instances.max(1))),
            (_, Measure::Bucket { burst, .. }) => part(*burst, instances),
            _ => part(limit, instances),
        }
    }

    /// Takes an amount if it fits into this instance's share of `limit`. `meet` must have been
    /// called before.
    pub(super) fn take(
        &mut self,
        measure: &Measure,
        limit: u64,
        amount: u64,
        instances: u32,
        now_us: i64,
    ) -> Result<Mark, Full> {
        let most = self.most(measure, limit, instances);
        let rate = part(limit, instances);
        let used = self.used();
        if used.checked_add(amount).is_none_or(|all| all > most) {
            let fits_ever = amount <= most;
            let until_us = fits_ever.then(|| self.room_at(most, rate, amount)).flatten();
            let may_end = self.may_end(used, amount, most);
            return Err(Full { used, most, until_us, may_end });
        }
        Ok(self.note(rate, amount, now_us))
    }

    /// Notes that a running call holds this amount.
    pub(super) fn held(&mut self, amount: u64) {
        self.open = self.open.saturating_add(amount);
    }

    /// Notes that a call which held this amount has ended.
    pub(super) fn let_go(&mut self, amount: u64) {
        self.open = self.open.saturating_sub(amount);
    }

    /// Whether an amount would fit without the reservations of running calls.
    pub(super) fn may_end(&self, used: u64, amount: u64, most: u64) -> bool {
        used.saturating_sub(self.open).saturating_add(amount) <= most
    }

    /// Notes an amount, whether it fits or not.
    pub(super) fn note(&mut self, limit: u64, amount: u64, now_us: i64) -> Mark {
        if let Some(heard) = &mut self.heard {
            heard.used = heard.used.saturating_add(amount);
        }
        match &mut self.how {
            How::Bucket { window_us, out, rate, .. } => {
                *rate = limit;
                *out = out.saturating_add(i128::from(amount).saturating_mul(*window_us));
                Mark::Bucket
            }
            How::Sliding { slice_us, slices, total } => {
                let now = now_us.div_euclid(*slice_us);
                *total = total.saturating_add(amount);
                match slices.back_mut() {
                    // A clock that goes back does not make entries older.
                    Some((slice, sum)) if *slice >= now => {
                        *sum = sum.saturating_add(amount);
                        Mark::Slice(*slice)
                    }
                    _ => {
                        slices.push_back((now, amount));
                        Mark::Slice(now)
                    }
                }
            }
            How::AtOnce(now) => {
                *now = now.saturating_add(amount);
                Mark::AtOnce
            }
            How::Period(period) => {
                period.add(i128::from(amount));
                Mark::Period(period.start_us)
            }
        }
    }

    /// Corrects a noted amount from `held` to `actual`. What has passed since is not changed.
    pub(super) fn correct(&mut self, mark: Mark, held: u64, actual: u64) {
        let corrected = |sum: u64| sum.saturating_sub(held).saturating_add(actual);
        if let Some(heard) = &mut self.heard {
            heard.used = if mark == Mark::AtOnce {
                heard.used.saturating_sub(held)
            } else {
                corrected(heard.used)
            };
        }
        match (&mut self.how, mark) {
            (How::Bucket { window_us, out, .. }, Mark::Bucket) => {
                let more = (i128::from(actual) - i128::from(held)).saturating_mul(*window_us);
                *out = out.saturating_add(more).max(0);
            }
            (How::Sliding { slices, total, .. }, Mark::Slice(at)) => {
                if let Ok(i) = slices.binary_search_by_key(&at, |(slice, _)| *slice) {
                    slices[i].1 = corrected(slices[i].1);
                    *total = slices.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n));
                }
            }
            (How::AtOnce(now), Mark::AtOnce) => *now = now.saturating_sub(held),
            (How::Period(period), Mark::Period(start)) if period.start_us == start => {
                period.add(i128::from(actual) - i128::from(held));
            }
            _ => {}
        }
    }

    /// Adds the use before this process began.
    pub(super) fn seed(&mut self, amount: u64) {
        if let How::Period(period) = &mut self.how {
            period.seed(amount);
        }
    }

    /// Returns the time when an amount fits that is not larger than the capacity.
    fn room_at(&self, most: u64, limit: u64, amount: u64) -> Option<i64> {
        match &self.how {
            How::Bucket { window_us, out, at_us, .. } => {
                let room = i128::from(most - amount).saturating_mul(*window_us);
                let wait = (out - room + i128::from(limit) - 1).checked_div(i128::from(limit))?;
                Some(at_us.saturating_add(i64::try_from(wait).ok()?))
            }
            How::Sliding { slice_us, slices, total } => {
                let mut left = *total;
                for (slice, sum) in slices {
                    left = left.saturating_sub(*sum);
                    if left.saturating_add(amount) <= most {
                        return Some((slice + SLICES + 1).saturating_mul(*slice_us));
                    }
                }
                None
            }
            How::AtOnce(_) => None,
            How::Period(period) => period.end_us,
        }
    }

    /// Returns the time when all use is forgotten.
    pub(super) fn until(&self) -> Option<i64> {
        match &self.how {
            How::Bucket { rate, .. } => self.room_at(0, *rate, 0),
            How::Sliding { .. } => self.room_at(0, 0, 0),
            How::AtOnce(_) => None,
            How::Period(period) => period.end_us,
        }
    }

    /// Whether it has no use at `now`.
    pub(super) fn is_idle(&mut self, now_us: i64) -> bool {
        self.pass(now_us);
        match &self.how {
            How::Period(Period { end_us: Some(end), .. }) if *end <= now_us => true,
            _ => self.seen(now_us) == 0,
        }
    }

    /// Whether it may be removed. If it is shared, a period with known earlier use is kept, and so
    /// is an ended one: the next one begins at zero.
    pub(super) fn may_go(&mut self, now_us: i64, shared: bool) -> bool {
        let known = self.period().is_some_and(|period| period.known().is_some());
        !(shared && known) && self.is_idle(now_us)
    }

    /// Returns the use at `now`, of all instances as far as it is known; zero for another measure
    /// or period.
    pub(super) fn peek(&mut self, measure: &Measure, now_us: i64) -> u64 {
        self.pass(now_us);
        match (&self.how, *measure) {
            (How::Period(period), Measure::Period { start_us, .. })
                if start_us > period.start_us =>
            {
                0
            }
            _ => self.seen(now_us),
        }
    }

    /// Returns the capacity left at `now` for one of `instances` that share the limit.
    pub(super) fn room(
        &mut self,
        measure: &Measure,
        limit: u64,
        instances: u32,
        now_us: i64,
    ) -> u64 {
        self.pass(now_us);
        match (&self.how, *measure) {
            (How::Period(period), Measure::Period { start_us, .. })
                if start_us > period.start_us =>
            {
                part(limit, instances)
            }
            _ => {
                let used = if instances > 1 { self.used() } else { self.seen(now_us) };
                self.most(measure, limit, instances).saturating_sub(used)
            }
        }
    }

    /// Returns the use of all instances as far as it was recently reported, at least that of this
    /// one.
    pub(super) fn seen(&self, now_us: i64) -> u64 {
        let own = self.used();
        let Some(Heard { used, at_us }) = self.heard else { return own };
        let passed = (now_us - at_us).max(0);
        let all = match &self.how {
            How::Bucket { window_us, rate, .. } => {
                let back = i128::from(passed) * i128::from(*rate) / window_us;
                used.saturating_sub(u64::try_from(back).unwrap_or(u64::MAX))
            }
            How::Sliding { slice_us, .. } if passed <= (SLICES + 1).saturating_mul(*slice_us) => {
                used
            }
            How::AtOnce(_) if passed <= CALLS_HEARD_US => used,
            How::Period(_) => used,
            _ => 0,
        };
        own.max(all)
    }

    /// Notes the use of all instances that Redis reports.
    pub(super) fn hear(&mut self, used: u64, now_us: i64) {
        self.heard = Some(Heard { used, at_us: now_us });
    }

    /// Notes the use of the period with this start that Redis reports, and the life of its data. If
    /// the data do not include the earlier use, it is only a part: the use from the log is added
    /// later.
    pub(super) fn hear_period(&mut self, start_us: i64, used: u64, life: Option<u64>) {
        let at_us = self.touched_us;
        let Some(period) = self.period_from(start_us) else { return };
        self.heard = match life {
            Some(life) => {
                period.hear(used, life);
                None
            }
            None => Some(Heard { used, at_us }),
        };
    }

    /// Returns the current period, if there is one.
    pub(super) fn period(&self) -> Option<&Period> {
        match &self.how {
            How::Period(period) => Some(period),
            _ => None,
        }
    }

    /// Returns the period for changes if it has this start.
    pub(super) fn period_from(&mut self, start: i64) -> Option<&mut Period> {
        match &mut self.how {
            How::Period(period) if period.start_us == start => Some(period),
            _ => None,
        }
    }

    /// Returns the number of running calls of this instance, if that is counted.
    pub(super) fn at_once(&self) -> Option<u64> {
        match self.how {
            How::AtOnce(now) => Some(now),
            _ => None,
        }
    }
}

/// Returns the share of one instance, rounded up.
pub(super) fn part(limit: u64, instances: u32) -> u64 {
    limit.div_ceil(u64::from(instances.max(1)))
}

pub(super) fn window_us(window: Duration) -> i128 {
    i128::try_from(window.as_micros()).unwrap_or(i128::MAX).max(1)
}
