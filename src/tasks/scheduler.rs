//! Scheduled tasks: they run on the instance that holds the lease, once for each time they are due,
//! also after a missed time, and on request.

mod jobs;

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;
use store::{Store, TaskDue, TaskRun};
use tokio::sync::watch;
use uuid::Uuid;

use super::Backoff;

pub(crate) use self::jobs::{Job, Keep, Workshop};

/// The interval of checks whether something is due.
const LOOK: Duration = Duration::from_secs(1);
/// The duration of the lease.
const LEASE: TimeDelta = TimeDelta::seconds(30);
const RENEW: Duration = Duration::from_secs(10);

/// The schedule of a task, as a line of a crontab.
#[derive(Debug, Clone)]
struct Schedule(Cron);

impl Schedule {
    fn of(job: Job) -> Self {
        Self(job.schedule().parse().expect("the schedules of jobs are well formed"))
    }

    /// Returns the last time at or before `now`.
    fn last(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let found = self.0.find_previous_occurrence(&now.with_timezone(&zone), true);
        found.ok().map(|at| at.to_utc())
    }

    /// Returns the first time after `now`.
    fn next(&self, now: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let found = self.0.find_next_occurrence(&now.with_timezone(&zone), false);
        found.ok().map(|at| at.to_utc())
    }
}

/// Runs these jobs as long as the process lives, while this instance holds the lease.
pub(crate) async fn run(
    workshop: Workshop,
    lease: &'static str,
    jobs: &'static [Job],
    zone: Tz,
    mut ending: watch::Receiver<bool>,
) {
    let holder = Uuid::now_v7().to_string();
    let scheduler = Scheduler { workshop, lease, jobs, zone, holder };
    tokio::select! {
        () = scheduler.run() => {}
        _ = ending.wait_for(|ending| *ending) => {}
    }
    // If the database is unavailable the lease ends by itself.
    let _ = scheduler.store().release(lease, &scheduler.holder).await;
}

struct Scheduler {
    workshop: Workshop,
    lease: &'static str,
    jobs: &'static [Job],
    zone: Tz,
    holder: String,
}

impl Scheduler {
    fn store(&self) -> &Store {
        &self.workshop.store
    }

    async fn run(&self) {
        let mut backoff = Backoff::new("tasks cannot be run: the database does not answer");
        loop {
            match self.lead().await {
                Ok(()) => {
                    backoff.worked("tasks are run again");
                    tokio::time::sleep(RENEW).await;
                }
                Err(error) => tokio::time::sleep(backoff.failed(&error)).await,
            }
        }
    }

    /// Runs due jobs while this instance holds the lease.
    async fn lead(&self) -> store::Result<()> {
        if !self.renew().await? {
            return Ok(());
        }
        for job in self.jobs {
            let next = Schedule::of(*job).next(Utc::now(), self.zone);
            self.store().know_task(job.name(), job.schedule(), self.zone.name(), next).await?;
        }
        let mut renewed = tokio::time::Instant::now();
        loop {
            if renewed.elapsed() >= RENEW {
                if !self.renew().await? {
                    return Ok(());
                }
                renewed = tokio::time::Instant::now();
            }
            let due = self.store().tasks_due().await?;
            for job in self.jobs {
                if let Some(task) = due.iter().find(|task| task.name == job.name())
                    && !self.see_to(*job, task).await?
                {
                    return Ok(());
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn renew(&self) -> store::Result<bool> {
        self.store().lease(self.lease, &self.holder, Utc::now(), LEASE).await
    }

    /// Runs a job if it is due; returns false if the lease was lost meanwhile.
    async fn see_to(&self, job: Job, task: &TaskDue) -> store::Result<bool> {
        let started = Utc::now();
        let schedule = Schedule::of(job);
        let last = schedule.last(started, self.zone);
        let due = last.filter(|last| task.last_due.is_none_or(|before| before < *last));
        if due.is_none() && !task.requested {
            return Ok(true);
        }
        let next = schedule.next(started, self.zone);
        self.store().begin_run(job.name(), due, next).await?;
        let work = job.run(&self.workshop);
        tokio::pin!(work);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                () = tokio::time::sleep(RENEW) => {
                    if !self.renew().await? {
                        return Ok(false);
                    }
                }
            }
        };
        let (ok, words) = match done {
            Ok(words) => (true, words),
            Err(error) => (false, error.to_string()),
        };
        match ok {
            true => tracing::debug!(task = job.name(), "{words}"),
            false => tracing::error!(task = job.name(), "a task has failed: {words}"),
        }
        let ended = Utc::now();
        self.store().note_run(job.name(), TaskRun { started, ended, ok, words }).await?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_daily_task_is_due_by_the_clock_of_its_zone() {
        let (two, zone) = (Schedule::of(Job::ClearLogs), Tz::Asia__Shanghai);
        assert_eq!(two.last(at("2026-11-21T17:59:59Z"), zone), Some(at("2026-11-20T18:00:00Z")));
        assert_eq!(two.last(at("2026-11-21T18:00:00Z"), zone), Some(at("2026-11-21T18:00:00Z")));
        assert_eq!(two.next(at("2026-11-21T18:00:00Z"), zone), Some(at("2026-11-22T18:00:00Z")));
    }

    #[test]
    fn where_clocks_change_a_daily_task_is_due_once_a_day() {
        let zone = Tz::America__Los_Angeles;
        for (from, to) in [("2026-03-06", "2026-03-11"), ("2026-10-30", "2026-11-04")] {
            for job in [Job::ResetQuotas, Job::ClearLogs, Job::RollUp] {
                let (mut now, mut times) = (at(&format!("{from}T12:05:00Z")), Vec::new());
                while now < at(&format!("{to}T12:05:00Z")) {
                    times.extend(Schedule::of(job).last(now, zone));
                    now += TimeDelta::minutes(10);
                }
                times.dedup();
                assert_eq!(times.len(), 6, "{job:?}: {times:?}");
                assert!(times.is_sorted(), "{job:?}: {times:?}");
            }
        }
    }

    #[test]
    fn what_is_due_every_so_often_is_due_at_round_times() {
        let every = Schedule::of(Job::SweepKeys);
        let now = at("2026-11-21T17:59:59Z");
        assert_eq!(every.last(now, Tz::UTC), Some(at("2026-11-21T17:50:00Z")));
        assert_eq!(every.next(now, Tz::UTC), Some(at("2026-11-21T18:00:00Z")));
    }
}
