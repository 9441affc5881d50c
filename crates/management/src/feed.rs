//! The live feed: once a second, while somebody watches, one task reads the calls that ended since the
//! second before and hands the same reading to all viewers. Viewers that are slow miss readings, which
//! they are told; nothing waits for them and nothing is kept for them.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use domain::{UserId, live::Live};
use parking_lot::Mutex;
use store::{AlertFilter, AlertRow, ArrivedCall, Page, Store};
use tokio::{sync::broadcast, time::MissedTickBehavior};

/// Most viewers of one instance.
const VIEWERS_MAX: usize = 64;
/// Most viewers of one user.
const PER_USER_MAX: usize = 8;
/// The time from one reading to the next.
pub(crate) const EACH: Duration = Duration::from_secs(1);
/// Readings that are kept for viewers that are behind.
const KEPT: usize = 8;
/// Most calls of one statement, and most statements of one reading: those beyond are passed over.
const CALLS: u64 = 1_000;
const STATEMENTS: usize = 4;
/// Most open alerts of a reading.
const ALERTS: u32 = 20;

/// What happened in about a second.
#[derive(Debug)]
pub(crate) struct Reading {
    /// When it was taken.
    pub(crate) at: DateTime<Utc>,
    /// The time since the reading before.
    pub(crate) span: Duration,
    /// The calls that arrived, the first first.
    pub(crate) calls: Vec<ArrivedCall>,
    /// Calls that arrived and are not among them, because there were too many.
    pub(crate) passed_over: u64,
    /// The place in the order of arrival up to which it goes.
    pub(crate) reached: i64,
    /// Running calls of this instance.
    pub(crate) in_flight: Option<u64>,
    /// Provider keys of this instance by state.
    pub(crate) keys: Option<Vec<(&'static str, u64)>>,
    /// Open alerts, the newest first.
    pub(crate) alerts: Vec<AlertRow>,
    /// Whether the database could not be read: calls and alerts of this second come later.
    pub(crate) unread: bool,
}

/// Who watches.
#[derive(Debug, Default)]
pub(crate) struct Feed(Mutex<Watched>);

#[derive(Debug, Default)]
struct Watched {
    viewers: HashMap<UserId, usize>,
    sender: Option<broadcast::Sender<Arc<Reading>>>,
}

/// The place of a viewer; free again when dropped.
pub(crate) struct Seat {
    feed: Arc<Feed>,
    user: UserId,
    readings: broadcast::Receiver<Arc<Reading>>,
}

impl Feed {
    /// A place for one more viewer; `None` if there are too many.
    pub(crate) fn seat(
        self: &Arc<Self>,
        user: UserId,
        store: &Store,
        live: Option<&Arc<dyn Live>>,
    ) -> Option<Seat> {
        let mut watched = self.0.lock();
        let own = watched.viewers.get(&user).copied().unwrap_or_default();
        if own >= PER_USER_MAX || watched.viewers.values().sum::<usize>() >= VIEWERS_MAX {
            return None;
        }
        watched.viewers.insert(user, own + 1);
        let readings = match &watched.sender {
            Some(sender) => sender.subscribe(),
            None => {
                let (sender, readings) = broadcast::channel(KEPT);
                watched.sender = Some(sender.clone());
                tokio::spawn(read(self.clone(), sender, store.clone(), live.cloned()));
                readings
            }
        };
        drop(watched);
        Some(Seat { feed: self.clone(), user, readings })
    }

    /// Whether nobody watches any more; the next viewer begins a new task then.
    fn is_over(&self) -> bool {
        let mut watched = self.0.lock();
        let over = watched.viewers.is_empty();
        if over {
            watched.sender = None;
        }
        over
    }
}

impl Seat {
    /// The next reading, and how many were missed before it.
    pub(crate) async fn next(&mut self) -> Option<(Arc<Reading>, u64)> {
        let mut missed = 0;
        loop {
            match self.readings.recv().await {
                Ok(reading) => return Some((reading, missed)),
                Err(broadcast::error::RecvError::Lagged(more)) => missed += more,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut watched = self.feed.0.lock();
        if let Some(own) = watched.viewers.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                watched.viewers.remove(&self.user);
            }
        }
    }
}

/// Takes readings as long as somebody watches.
async fn read(
    feed: Arc<Feed>,
    sender: broadcast::Sender<Arc<Reading>>,
    store: Store,
    live: Option<Arc<dyn Live>>,
) {
    let mut clock = tokio::time::interval(EACH);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock.tick().await;
    let (mut reached, mut before) = (store.last_arrival().await.ok(), Instant::now());
    loop {
        clock.tick().await;
        if feed.is_over() {
            return;
        }
        let mut reading = Reading {
            at: Utc::now(),
            span: before.elapsed(),
            calls: Vec::new(),
            passed_over: 0,
            reached: reached.unwrap_or_default(),
            in_flight: live.as_ref().map(|live| live.calls_in_flight()),
            keys: live.as_ref().map(|live| live.key_states()),
            alerts: Vec::new(),
            unread: false,
        };
        before = Instant::now();
        match look(&store, reached, &mut reading).await {
            Ok(()) => reached = Some(reading.reached),
            Err(error) => {
                tracing::debug!(%error, "a reading of the live feed could not be taken");
                reading.unread = true;
            }
        }
        // Nobody may be there just now; `is_over` decides.
        let _ = sender.send(Arc::new(reading));
    }
}

/// Reads what arrived after `reached`; where nothing is known of the time before, from now on.
async fn look(store: &Store, reached: Option<i64>, reading: &mut Reading) -> store::Result<()> {
    let Some(after) = reached else {
        reading.reached = store.last_arrival().await?;
        return Ok(());
    };
    reading.reached = after;
    let mut more = true;
    for _ in 0..STATEMENTS {
        let calls = store.arrived(reading.reached, CALLS).await?;
        reading.reached = calls.last().map_or(reading.reached, |call| call.arrival);
        more = calls.len() as u64 == CALLS;
        reading.calls.extend(calls);
        if !more {
            break;
        }
    }
    if more {
        let last = store.last_arrival().await?;
        reading.passed_over = u64::try_from(last - reading.reached).unwrap_or_default();
        reading.reached = last;
    }
    let open = AlertFilter { open: Some(true), ..AlertFilter::default() };
    reading.alerts = store.alerts(open, Page { limit: ALERTS, ..Page::default() }).await?.items;
    Ok(())
}
