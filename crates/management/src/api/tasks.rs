//! `/api/admin/tasks`: what the gateway does by the clock. What a task does is not known here.

use axum::{
    Json as Answer,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use chrono::{DateTime, Utc};
use serde::Serialize;
use store::{TaskRow, TaskRun};
use utoipa::ToSchema;

use crate::{
    app::Management,
    error::ApiError,
    listing::ListOf,
    permit::{ManageConfig, ReadUpstreams, With},
};

/// What the gateway does by the clock, and its last runs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Task {
    /// Its name.
    name: String,
    /// When it runs, as a cron expression.
    #[schema(example = "0 2 * * *")]
    schedule: String,
    /// By the clock of which zone.
    timezone: String,
    /// When it runs next.
    next_at: Option<DateTime<Utc>>,
    /// When somebody asked for a run that has not begun.
    requested_at: Option<DateTime<Utc>>,
    /// Its last runs, the newest first; at most 10.
    runs: Vec<Run>,
}

/// What one run of a task did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TaskRun)]
pub(crate) struct Run {
    /// When it began.
    started_at: DateTime<Utc>,
    /// When it ended.
    ended_at: DateTime<Utc>,
    /// Whether it did what it should.
    ok: bool,
    /// What it did, or why it failed.
    words: String,
}

/// All tasks, on one page. They are nobody's own: whoever sees only their own things sees none.
#[utoipa::path(get, path = "/api/admin/tasks", tag = "tasks",
    responses((status = 200, description = "A page of tasks", body = ListOf<Task>)))]
pub(crate) async fn list_tasks(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
) -> Result<Answer<ListOf<Task>>, ApiError> {
    let items = match actor.confined_to() {
        Some(_) => Vec::new(),
        None => app.store.task_list().await?.into_iter().map(Task::from).collect(),
    };
    Ok(Answer(ListOf { items, next_cursor: None }))
}

/// Ask for a run of a task. It begins within a second where the gateway runs.
#[utoipa::path(post, path = "/api/admin/tasks/{name}/run", tag = "tasks", params(("name" = String, Path, description = "The name of the task")),
    responses((status = 202, description = "The task will run soon")))]
pub(crate) async fn run_task(
    actor: With<ManageConfig>,
    State(app): State<Management>,
    name: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let Path(name) = name.map_err(|_| ApiError::NoSuchPath)?;
    app.store.request_run(&actor, &name).await?;
    Ok(StatusCode::ACCEPTED)
}

impl From<TaskRow> for Task {
    fn from(row: TaskRow) -> Self {
        Self {
            name: row.name,
            schedule: row.schedule,
            timezone: row.timezone,
            next_at: row.next,
            requested_at: row.requested,
            runs: row.runs.into_iter().map(Run::from).collect(),
        }
    }
}

impl From<TaskRun> for Run {
    fn from(run: TaskRun) -> Self {
        Self { started_at: run.started, ended_at: run.ended, ok: run.ok, words: run.words }
    }
}
