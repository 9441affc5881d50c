//! A reservation in progress in Redis. If it is dropped or refused, nothing remains.

use std::sync::Arc;

use parking_lot::Mutex;

use super::count::{Count, Mark};
use super::memory::{Few, lock};
use super::pending::Undo;
use super::shared::{REMEMBERED_MS, Receipt, Shared};
use super::spot::{Spot, exact, told};
use super::{Ask, Held, Measure, Over, Taken};
use crate::ClusterError;

/// A reservation in progress.
#[derive(Debug)]
pub(super) struct Going<'a> {
    shared: &'a Arc<Shared>,
    id: String,
    now_us: i64,
    asks: &'a [Ask],
    counts: Few<Arc<Mutex<Count>>>,
    spots: Vec<Spot>,
    /// The arguments of the script for each ask.
    words: Vec<[String; 4]>,
    /// Whether it may have been made without confirmation.
    unknown: bool,
    /// Whether running calls are noted that were not granted.
    noted: bool,
}

/// The answer of Redis.
#[derive(Debug)]
pub(super) enum Answer {
    Taken(Vec<Noted>),
    Over(Refused),
}

/// The amount taken from one counter.
#[derive(Debug)]
pub(super) struct Noted {
    used: u64,
    slice: Option<i64>,
    life: Option<u64>,
}

/// The ask that does not fit.
#[derive(Debug)]
pub(super) struct Refused {
    index: usize,
    used: u64,
    until_us: Option<i64>,
    life: Option<u64>,
}

impl<'a> Going<'a> {
    /// Notes running calls and collects the arguments for Redis.
    pub(super) fn begin(shared: &'a Arc<Shared>, now_us: i64, asks: &'a [Ask]) -> Going<'a> {
        let counts = shared.memory.counts(asks, now_us);
        let mut spots = Vec::with_capacity(asks.len());
        let mut words = Vec::with_capacity(asks.len());
        let mut locked = lock(&counts);
        for (index, ask) in asks.iter().enumerate() {
            let count = locked.of(index);
            count.meet(&ask.measure, now_us);
            let spot = Spot::of(ask, count.period());
            words.push(match spot {
                Spot::Period { .. } => {
                    let [known, life] = told(count.period());
                    [known, life, String::new(), spot.life_ms(now_us).to_string()]
                }
                Spot::Slice { slice_us, .. } => three(slice_us, "", ""),
                Spot::Bucket { window_us } => three(window_us, exact(ask.limit), ""),
                // Under the lock of the counter: a later message is newer.
                Spot::AtOnce => {
                    count.note(ask.limit, ask.amount, now_us);
                    three(exact(count.at_once().unwrap_or(0)), shared.number(), "")
                }
            });
            spots.push(spot);
        }
        drop(locked);
        let id = format!("{}:{}", shared.instance, shared.number());
        Going { shared, id, now_us, asks, counts, spots, words, unknown: false, noted: true }
    }

    /// Runs the script in Redis.
    pub(super) async fn ask(&mut self) -> Result<Answer, ClusterError> {
        let shared = self.shared;
        let mut call = shared.scripts.reserve.key(shared.link.instances_key());
        call.key(shared.name("reservation", &self.id));
        call.arg(&shared.instance).arg(self.now_us).arg(shared.new_life()).arg(REMEMBERED_MS);
        for ((ask, spot), words) in self.asks.iter().zip(&self.spots).zip(&self.words) {
            call.key(spot.name(shared.prefix(), &ask.counter));
            call.arg(spot.letter()).arg(exact(ask.amount)).arg(exact(most(ask))).arg(words);
        }
        self.unknown = true;
        let answer = shared.link.invoke::<String>(&call).await;
        // Nothing was sent while the breaker is open.
        self.unknown = !matches!(answer, Err(ClusterError::Open));
        let answer = Answer::read(&answer?, self.asks.len());
        let answer = answer.ok_or_else(|| ClusterError::Failed("answer".to_owned()))?;
        self.unknown = false;
        Ok(answer)
    }

    /// Completes a reservation that was made.
    pub(super) fn taken(mut self, noted: Vec<Noted>) -> Held {
        self.noted = false;
        let mut receipt =
            Receipt { shared: Arc::clone(self.shared), noted: Vec::with_capacity(noted.len()) };
        let mut taken = Vec::with_capacity(noted.len());
        for (i, Noted { used, slice, life }) in noted.into_iter().enumerate() {
            let (ask, spot, count) = (&self.asks[i], self.spots[i], &self.counts[i]);
            let mark = note(&mut count.lock(), ask, spot, (used, life), self.now_us);
            receipt.noted.push((Arc::clone(&ask.counter), Some(spot.at(slice))));
            taken.push(Taken { count: Arc::clone(count), mark, amount: ask.amount, used });
        }
        Held { taken, receipt: Some(receipt) }
    }

    /// Completes a reservation that was refused.
    pub(super) fn over(self, refused: Refused) -> Over {
        let Refused { index, used, until_us, life } = refused;
        let (ask, spot) = (&self.asks[index], self.spots[index]);
        let mut count = self.counts[index].lock();
        let until_us = match spot {
            Spot::Period { end_us, .. } if ask.amount <= ask.limit => end_us,
            _ => until_us,
        };
        if let Spot::Period { start_us, .. } = spot {
            count.hear_period(start_us, used, life);
        } else {
            // The requested running calls are noted until this ends.
            let asked = if spot == Spot::AtOnce { ask.amount } else { 0 };
            count.hear(used.saturating_add(asked), self.now_us);
        }
        let may_end = count.may_end(used, ask.amount, most(ask));
        Over { index, used, most: most(ask), until_us, may_end }
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        for ((ask, spot), count) in self.asks.iter().zip(&self.spots).zip(&self.counts) {
            if self.noted && *spot == Spot::AtOnce {
                count.lock().correct(Mark::AtOnce, ask.amount, 0);
                self.shared.tell(&ask.counter, Spot::AtOnce, 0, count);
            }
        }
        if self.unknown {
            let asks = self.asks.iter().zip(&self.spots).enumerate();
            let asks = asks.filter(|(_, (_, spot))| **spot != Spot::AtOnce);
            let asks =
                asks.map(|(i, (ask, spot))| (i, Arc::clone(&ask.counter), *spot, ask.amount));
            let (id, now_us) = (std::mem::take(&mut self.id), self.now_us);
            self.shared.pending.undo(Undo { id, now_us, asks: asks.collect() });
        }
    }
}

/// Notes in memory what was taken in Redis.
fn note(
    count: &mut Count,
    ask: &Ask,
    spot: Spot,
    (used, life): (u64, Option<u64>),
    now_us: i64,
) -> Mark {
    count.held(ask.amount);
    match spot {
        Spot::Period { start_us, .. } => {
            if let (None, Some(period)) = (life, count.period_from(start_us)) {
                period.add(i128::from(ask.amount));
            }
            count.hear_period(start_us, used, life);
            Mark::Period(start_us)
        }
        Spot::AtOnce => {
            count.hear(used, now_us);
            Mark::AtOnce
        }
        Spot::Slice { .. } | Spot::Bucket { .. } => {
            count.meet(&ask.measure, now_us);
            let mark = count.note(ask.limit, ask.amount, now_us);
            count.hear(used, now_us);
            mark
        }
    }
}

/// Returns the total for all instances.
fn most(ask: &Ask) -> u64 {
    match ask.measure {
        Measure::Bucket { burst, .. } => burst,
        _ => ask.limit,
    }
}

fn three(a: impl ToString, b: impl ToString, c: impl ToString) -> [String; 4] {
    [a.to_string(), b.to_string(), c.to_string(), String::new()]
}

impl Answer {
    fn read(text: &str, asks: usize) -> Option<Answer> {
        let mut words = text.split(' ');
        match words.next()? {
            "taken" => {
                let mut noted = Vec::with_capacity(asks);
                for _ in 0..asks {
                    let used = words.next()?.parse().ok()?;
                    let (slice, life) = (words.next()?.parse().ok(), words.next()?.parse().ok());
                    noted.push(Noted { used, slice, life });
                }
                Some(Answer::Taken(noted))
            }
            "over" => {
                let index = words.next()?.parse().ok().filter(|index| *index < asks)?;
                let used = words.next()?.parse().ok()?;
                let (until_us, life) = (words.next()?.parse().ok(), words.next()?.parse().ok());
                Some(Answer::Over(Refused { index, used, until_us, life }))
            }
            // It was cancelled before it was made.
            _ => None,
        }
    }
}
