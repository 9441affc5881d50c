//! The scheduled jobs. Each returns a report in words, and works in small portions so that nothing
//! waits for it.

use std::{sync::Arc, time::Duration};

use chrono::{TimeDelta, Utc};
use domain::live::Live;
use proxy::Gateway;
use store::{Aged, Grain, Store};

/// Rows that are deleted at once.
const PORTION: u64 = 1000;
/// Most keys that are probed in one run; the others follow in the next.
const PROBES_MAX: usize = 500;
/// The longest pause between two probes, in milliseconds.
const PROBE_PAUSE_MS: u64 = 400;
/// Retention of key transitions, rule triggers, alerts and breaker records.
const HISTORY_KEPT: TimeDelta = TimeDelta::days(90);

/// Retention of the versions of resources.
const VERSIONS_KEPT: TimeDelta = TimeDelta::days(365);

/// The resources of jobs.
#[derive(Clone)]
pub(crate) struct Workshop {
    pub(crate) store: Store,
    /// The data plane, if this process runs it.
    pub(crate) gateway: Option<Arc<Gateway>>,
    pub(crate) keep: Keep,
}

/// The retention settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    pub(crate) logs: TimeDelta,
    pub(crate) bodies: TimeDelta,
    /// Of roll-ups by the minute and by the hour; those by the day are kept for ever.
    pub(crate) minutes: TimeDelta,
    pub(crate) hours: TimeDelta,
    /// The largest total size of log entries and bodies, in bytes.
    pub(crate) size: u64,
}

/// A scheduled job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Activates keys whose suspension is over.
    SweepKeys,
    /// Activates keys whose quota was reset.
    ResetQuotas,
    /// Deletes log entries and bodies beyond their age or size limit.
    ClearLogs,
    /// Sums old hourly statistics by day.
    RollUp,
    /// Deletes object owners beyond those that a data plane remembers.
    ForgetObjects,
    /// Probes suspended keys.
    ProbeKeys,
}

impl Job {
    /// The jobs that need only the database.
    pub(crate) const OF_THE_STORE: &[Job] =
        &[Job::SweepKeys, Job::ResetQuotas, Job::ClearLogs, Job::RollUp, Job::ForgetObjects];
    /// The jobs that need a data plane.
    pub(crate) const OF_THE_DATA_PLANE: &[Job] = &[Job::ProbeKeys];

    pub(super) fn name(self) -> &'static str {
        match self {
            Job::SweepKeys => "sweep_keys",
            Job::ResetQuotas => "reset_quotas",
            Job::ClearLogs => "clear_logs",
            Job::RollUp => "roll_up",
            Job::ForgetObjects => "forget_objects",
            Job::ProbeKeys => "probe_keys",
        }
    }

    /// Returns the schedule as a line of a crontab.
    pub(super) fn schedule(self) -> &'static str {
        match self {
            Job::SweepKeys | Job::ProbeKeys => "*/10 * * * *",
            Job::ResetQuotas => "0 0 * * *",
            Job::ClearLogs => "0 2 * * *",
            Job::RollUp => "0 3 * * *",
            Job::ForgetObjects => "30 * * * *",
        }
    }

    pub(super) async fn run(self, workshop: &Workshop) -> store::Result<String> {
        let store = &workshop.store;
        match self {
            Job::SweepKeys => sweep(store, &["cooling", "disabled_auto"]).await,
            Job::ResetQuotas => sweep(store, &["exhausted"]).await,
            Job::ClearLogs => clear(store, workshop.keep).await,
            Job::RollUp => roll_up(store, workshop.keep).await,
            Job::ForgetObjects => forget_objects(store).await,
            Job::ProbeKeys => match &workshop.gateway {
                Some(gateway) => Ok(probe(gateway).await),
                None => Ok("this process has no data plane".to_owned()),
            },
        }
    }
}

async fn sweep(store: &Store, states: &[&str]) -> store::Result<String> {
    let mut ended = 0;
    loop {
        let some = store.end_standings(states, Utc::now()).await?;
        ended += some;
        if some < PORTION {
            return Ok(format!("{ended} keys are active again"));
        }
    }
}

async fn clear(store: &Store, keep: Keep) -> store::Result<String> {
    let now = Utc::now();
    let mut gone = Vec::new();
    for (kind, name, kept) in [
        (Aged::LogEntries, "log entries", keep.logs),
        (Aged::AgentSessions, "sessions of agents", keep.logs),
        (Aged::AgentSessionParts, "agents of sessions", keep.logs),
        (Aged::Bodies, "bodies", keep.bodies),
        (Aged::Transitions, "steps of keys", HISTORY_KEPT),
        (Aged::Triggers, "triggers of rules", HISTORY_KEPT),
        (Aged::Alerts, "alerts", HISTORY_KEPT),
        (Aged::Standings, "standings", HISTORY_KEPT),
        (Aged::Breakers, "breakers", HISTORY_KEPT),
        (Aged::History, "versions of resources", VERSIONS_KEPT),
    ] {
        let mut count = 0;
        loop {
            let some = store.delete_old(kind, now - kept, PORTION).await?;
            count += some;
            if some < PORTION {
                break;
            }
        }
        if count > 0 {
            gone.push(format!("{count} {name}"));
        }
    }
    gone.extend(shrink(store, keep.size).await?);
    while store.give_back().await? {}
    match gone.is_empty() {
        true => Ok("nothing was old enough".to_owned()),
        false => Ok(format!("cleared {}", gone.join(", "))),
    }
}

/// Deletes the oldest rows beyond the size limit: bodies first, because they are the largest and
/// least useful.
async fn shrink(store: &Store, most: u64) -> store::Result<Vec<String>> {
    let size = store.log_size().await?;
    let entries = size.entries * size.entry_bytes;
    let mut over = (entries + size.body_bytes).saturating_sub(most);
    let mut gone = Vec::new();
    for (kind, name, count, bytes) in [
        (Aged::Bodies, "bodies", size.bodies, size.body_bytes),
        (Aged::LogEntries, "log entries", size.entries, entries),
    ] {
        let each = bytes.checked_div(count).unwrap_or(0).max(1);
        let mut left = over.div_ceil(each).min(count);
        over = over.saturating_sub(left * each);
        let goes = left;
        while left > 0 {
            let some = store.delete_oldest(kind, left.min(PORTION)).await?;
            if some == 0 {
                break;
            }
            left -= some.min(left);
        }
        if goes > 0 {
            gone.push(format!("{goes} {name} for want of room"));
        }
    }
    Ok(gone)
}

async fn forget_objects(store: &Store) -> store::Result<String> {
    let upto = store.newest_stored_objects(Gateway::ORIGINS_MAX).await?;
    let mut gone = 0;
    loop {
        let some = store.forget_stored_objects(upto, PORTION).await?;
        gone += some;
        if some < PORTION {
            return Ok(format!("{gone} ids of stored objects were forgotten"));
        }
    }
}

async fn roll_up(store: &Store, keep: Keep) -> store::Result<String> {
    for (grain, kept) in [(Grain::Minute, keep.minutes), (Grain::Hour, keep.hours)] {
        while store.trim_rollups(grain, Utc::now() - kept).await? {}
    }
    Ok("minutes and hours that are old enough are kept as days only".to_owned())
}

/// Probes suspended keys one after the other with pauses, so that providers are not overloaded.
async fn probe(gateway: &Gateway) -> String {
    let suspended = gateway.suspended();
    let (mut asked, mut accepted) = (0, 0);
    for (upstream, key) in suspended.into_iter().take(PROBES_MAX) {
        let pause = rand::random_range(0..=PROBE_PAUSE_MS);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let test = gateway.test_key(upstream, key).await;
        asked += 1;
        accepted += u32::from(test.accepted == Some(true));
    }
    format!("{asked} suspended keys were asked about, {accepted} are accepted again")
}
