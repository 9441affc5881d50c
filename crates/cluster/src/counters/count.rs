//! One counter: what is used of it, by its measure. All time is told from outside.

use std::collections::VecDeque;
use std::time::Duration;

use super::Measure;
use super::period::Period;

/// Into so many parts a sliding window is divided.
pub(super) const SLICES: i64 = 60;

/// How long one part of a sliding window is.
pub(super) fn slice_us(window: Duration) -> i64 {
    let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX / 4);
    ((window + SLICES - 1) / SLICES).max(1)
}

/// What is used.
#[derive(Debug)]
pub(super) struct Count {
    how: How,
    /// When it was last asked for.
    pub(super) touched_us: i64,
    /// What all instances use of it; a period knows that itself, once it is known what was used
    /// before.
    heard: Option<Heard>,
    /// How much of it calls under way hold, here.
    open: u64,
}

/// What Redis said last, and what this instance did since.
#[derive(Debug, Clone, Copy)]
struct Heard {
    used: u64,
    at_us: i64,
}

/// So long it is believed how many calls at once the others have.
const CALLS_HEARD_US: i64 = 60_000_000;

#[derive(Debug)]
enum How {
    /// What was taken and has not yet flowed back, times the window, so that nothing is rounded.
    Bucket {
        window_us: i128,
        out: i128,
        rate: u64,
        at_us: i64,
    },
    /// What was taken in each part of the window in which anything was, the oldest first.
    Sliding {
        slice_us: i64,
        slices: VecDeque<(i64, u64)>,
        total: u64,
    },
    AtOnce(u64),
    Period(Period),
}

/// Where something was noted, so that it can be corrected there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    Bucket,
    Slice(i64),
    AtOnce,
    Period(i64),
}

/// There is no room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Full {
    pub(super) used: u64,
    /// Up to how much there was room.
    pub(super) most: u64,
    pub(super) until_us: Option<i64>,
    /// Whether there would be room without what calls under way hold.
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

    /// Brings it to `now`, to the period that is asked for, and to another measure where that
    /// changed.
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

    /// Lets time pass.
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

    /// How much is used.
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

    /// Up to how much one of so many instances may use of it.
    fn most(&self, measure: &Measure, limit: u64, instances: u32) -> u64 {
        match (&self.how, measure) {
            (How::Period(period), _) => period.most(limit, u64::from(instances.max(1))),
            (_, Measure::Bucket { burst, .. }) => part(*burst, instances),
            _ => part(limit, instances),
        }
    }

    /// Takes an amount where there is room in this instance's share of `limit`. It has met its
    /// measure before.
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

    /// A call holds so much of it from now on.
    pub(super) fn held(&mut self, amount: u64) {
        self.open = self.open.saturating_add(amount);
    }

    /// A call that held so much of it has ended.
    pub(super) fn let_go(&mut self, amount: u64) {
        self.open = self.open.saturating_sub(amount);
    }

    /// Whether there would be room for an amount without what calls under way hold.
    pub(super) fn may_end(&self, used: u64, amount: u64, most: u64) -> bool {
        used.saturating_sub(self.open).saturating_add(amount) <= most
    }

    /// Notes an amount, whether there is room or not.
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
                    // A clock that goes back does not make anything older than it is.
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

    /// What was noted as `held` was `actual` in fact. What has passed since is left as it was.
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

    /// Adds what was used before this process began.
    pub(super) fn seed(&mut self, amount: u64) {
        if let How::Period(period) = &mut self.how {
            period.seed(amount);
        }
    }

    /// When there is room for an amount that is not more than the counter can hold.
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

    /// When nothing of it counts any more.
    pub(super) fn until(&self) -> Option<i64> {
        match &self.how {
            How::Bucket { rate, .. } => self.room_at(0, *rate, 0),
            How::Sliding { .. } => self.room_at(0, 0, 0),
            How::AtOnce(_) => None,
            How::Period(period) => period.end_us,
        }
    }

    /// Whether nothing of it counts at `now`.
    pub(super) fn is_idle(&mut self, now_us: i64) -> bool {
        self.pass(now_us);
        match &self.how {
            How::Period(Period { end_us: Some(end), .. }) if *end <= now_us => true,
            _ => self.seen(now_us) == 0,
        }
    }

    /// Whether it may be forgotten. Where others count as well, a period of which it is known what
    /// was used before is kept, and so is one that has ended: the next one begins with nothing.
    pub(super) fn may_go(&mut self, now_us: i64, shared: bool) -> bool {
        let known = self.period().is_some_and(|period| period.known().is_some());
        !(shared && known) && self.is_idle(now_us)
    }

    /// How much is used at `now`, by all as far as that was heard; of another measure or period
    /// than its own, nothing.
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

    /// How much there is room for at `now`, for one of so many instances that share the limit; for
    /// one that counts with the others there is one.
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

    /// What all instances use of it as far as that was heard lately, and what this one uses at
    /// least.
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

    /// Redis says how much all instances use.
    pub(super) fn hear(&mut self, used: u64, now_us: i64) {
        self.heard = Some(Heard { used, at_us: now_us });
    }

    /// Redis says how much they use of the period that began then, and in which life of its data.
    /// Where these do not say what was used before, it is no more than a part of it: what the log
    /// tells later is still to be added.
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

    /// The period that is counted, where one is.
    pub(super) fn period(&self) -> Option<&Period> {
        match &self.how {
            How::Period(period) => Some(period),
            _ => None,
        }
    }

    /// The same, to be changed, where it is the one that began then.
    pub(super) fn period_from(&mut self, start: i64) -> Option<&mut Period> {
        match &mut self.how {
            How::Period(period) if period.start_us == start => Some(period),
            _ => None,
        }
    }

    /// How many calls this instance has at once, where that is counted.
    pub(super) fn at_once(&self) -> Option<u64> {
        match self.how {
            How::AtOnce(now) => Some(now),
            _ => None,
        }
    }
}

/// The part of one of so many instances. Parts are rounded up.
pub(super) fn part(limit: u64, instances: u32) -> u64 {
    limit.div_ceil(u64::from(instances.max(1)))
}

pub(super) fn window_us(window: Duration) -> i128 {
    i128::try_from(window.as_micros()).unwrap_or(i128::MAX).max(1)
}
