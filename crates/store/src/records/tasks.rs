//! Tasks that run by the clock: when they are due, what they did. And what clean-up takes away.

use chrono::{DateTime, Utc};

/// A task and its last runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRow {
    /// Its name.
    pub name: String,
    /// When it runs, as a cron expression.
    pub schedule: String,
    /// By the clock of which zone.
    pub timezone: String,
    /// When it runs next.
    pub next: Option<DateTime<Utc>>,
    /// When somebody asked for a run that has not begun.
    pub requested: Option<DateTime<Utc>>,
    /// The last runs, the newest first.
    pub runs: Vec<TaskRun>,
}

/// What one run of a task did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRun {
    /// When it began.
    pub started: DateTime<Utc>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// Whether it did what it should.
    pub ok: bool,
    /// What it did, or why it failed.
    pub words: String,
}

/// What decides whether a task runs now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskDue {
    /// Its name.
    pub name: String,
    /// The last time for which it ran; none before the first.
    pub last_due: Option<DateTime<Utc>>,
    /// Whether somebody asked for a run.
    pub requested: bool,
}

/// A kind of thing that is only kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aged {
    /// Log entries.
    LogEntries,
    /// Recorded bodies.
    Bodies,
    /// Steps of keys.
    Transitions,
    /// Rules that fired.
    Triggers,
    /// Alerts that are over.
    Alerts,
    /// Standings of keys that are plainly active.
    Standings,
    /// Circuit breakers that are closed.
    Breakers,
    /// Versions of resources.
    History,
    /// Sessions of client programs.
    AgentSessions,
    /// The agents and models of sessions.
    AgentSessionParts,
}

/// How much room log entries and bodies take, about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogSize {
    /// How many log entries there are.
    pub entries: u64,
    /// Bytes of one, indexes included.
    pub entry_bytes: u64,
    /// How many recorded bodies there are.
    pub bodies: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
}
