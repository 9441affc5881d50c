//! Tasks that run by the clock, as far as instances must agree on them: who runs them, when they
//! are due, what they did. What they do is the business of whoever runs them.

use auth::Actor;
use chrono::{DateTime, TimeDelta, Utc};
use entity::{task_runs, task_state};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Statement,
    sea_query::{Expr, OnConflict},
};
use task_state::Column;

use crate::{
    Result, Store, StoreError, TaskDue, TaskRow, TaskRun, audit, change::What, moment, now_us,
    text::clean,
};

/// Runs of a task that are kept.
const RUNS_KEPT: u64 = 100;
/// Runs of a task that are listed.
const RUNS_LISTED: u64 = 10;
/// Longest words of a run.
const WORDS_MAX: usize = 2000;

impl Store {
    /// Takes or renews the lease of this name until `until`; false while another holds it.
    pub async fn lease(
        &self,
        name: &str,
        holder: &str,
        now: DateTime<Utc>,
        lasts: TimeDelta,
    ) -> Result<bool> {
        let sql = "INSERT INTO task_state (task, holder, lease_until_us) VALUES ($1, $2, $3) \
                   ON CONFLICT (task) DO UPDATE SET holder = excluded.holder, \
                   lease_until_us = excluded.lease_until_us \
                   WHERE task_state.holder IS NULL OR task_state.holder = excluded.holder \
                   OR task_state.lease_until_us < $4 RETURNING task";
        let until = (now + lasts).timestamp_micros();
        let values = [name.into(), holder.into(), until.into(), now.timestamp_micros().into()];
        let tx = self.0.db.write().await?;
        let statement = Statement::from_sql_and_values(tx.get_database_backend(), sql, values);
        let taken = tx.query_one_raw(statement).await?.is_some();
        tx.commit().await?;
        Ok(taken)
    }

    /// Gives a lease back, so that another need not wait for its end.
    pub async fn release(&self, name: &str, holder: &str) -> Result<()> {
        let tx = self.0.db.write().await?;
        task_state::Entity::update_many()
            .col_expr(Column::Holder, Expr::value(None::<String>))
            .filter(Column::Task.eq(name))
            .filter(Column::Holder.eq(holder))
            .exec(&tx)
            .await?;
        tx.commit().await
    }

    /// Makes a task known, with its schedule.
    pub async fn know_task(
        &self,
        name: &str,
        schedule: &str,
        timezone: &str,
        next: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let tx = self.0.db.write().await?;
        let row = task_state::ActiveModel {
            task: Set(name.to_owned()),
            schedule: Set(Some(schedule.to_owned())),
            timezone: Set(Some(timezone.to_owned())),
            next_us: Set(next.map(|next| next.timestamp_micros())),
            ..Default::default()
        };
        let again = OnConflict::column(Column::Task)
            .update_columns([Column::Schedule, Column::Timezone, Column::NextUs])
            .to_owned();
        task_state::Entity::insert(row).on_conflict(again).exec_without_returning(&tx).await?;
        tx.commit().await
    }

    /// What decides whether the known tasks run now.
    pub async fn tasks_due(&self) -> Result<Vec<TaskDue>> {
        let rows = task_state::Entity::find()
            .filter(Column::Schedule.is_not_null())
            .all(&self.0.db.reader().await?)
            .await?;
        let due = |row: task_state::Model| TaskDue {
            name: row.task,
            last_due: row.last_due_us.map(moment),
            requested: row.requested_us.is_some(),
        };
        Ok(rows.into_iter().map(due).collect())
    }

    /// Notes that a task begins to run: for the time `due`, or because it was asked for. A request
    /// is met by whatever run begins.
    pub async fn begin_run(
        &self,
        name: &str,
        due: Option<DateTime<Utc>>,
        next: Option<DateTime<Utc>>,
    ) -> Result<()> {
        let tx = self.0.db.write().await?;
        let mut update = task_state::Entity::update_many()
            .col_expr(Column::RequestedUs, Expr::value(None::<i64>))
            .filter(Column::Task.eq(name));
        if let Some(due) = due {
            update = update
                .col_expr(Column::LastDueUs, Expr::value(due.timestamp_micros()))
                .col_expr(Column::NextUs, Expr::value(next.map(|next| next.timestamp_micros())));
        }
        update.exec(&tx).await?;
        tx.commit().await
    }

    /// Notes what a run did; the last hundred of each task are kept.
    pub async fn note_run(&self, name: &str, run: TaskRun) -> Result<()> {
        let tx = self.0.db.write().await?;
        let mut words = clean(&run.words);
        words.truncate(words.floor_char_boundary(WORDS_MAX));
        let row = task_runs::ActiveModel {
            task: Set(name.to_owned()),
            started_us: Set(run.started.timestamp_micros()),
            ended_us: Set(run.ended.timestamp_micros()),
            result: Set(if run.ok { "ok" } else { "failed" }.to_owned()),
            words: Set(words),
        };
        let key = [task_runs::Column::Task, task_runs::Column::StartedUs];
        let again = OnConflict::columns(key)
            .update_columns([
                task_runs::Column::EndedUs,
                task_runs::Column::Result,
                task_runs::Column::Words,
            ])
            .to_owned();
        task_runs::Entity::insert(row).on_conflict(again).exec_without_returning(&tx).await?;
        let runs = task_runs::Entity::find().filter(task_runs::Column::Task.eq(name));
        let runs = runs.order_by_desc(task_runs::Column::StartedUs);
        if let Some(oldest) = runs.offset(RUNS_KEPT - 1).limit(1).one(&tx).await? {
            task_runs::Entity::delete_many()
                .filter(task_runs::Column::Task.eq(name))
                .filter(task_runs::Column::StartedUs.lt(oldest.started_us))
                .exec(&tx)
                .await?;
        }
        tx.commit().await
    }

    /// Asks for a run of a task; whoever runs tasks begins it within a second.
    pub async fn request_run(&self, by: &Actor, name: &str) -> Result<()> {
        let tx = self.0.db.write().await?;
        let (now, name) = (now_us(), clean(name));
        let asked = task_state::Entity::update_many()
            .col_expr(Column::RequestedUs, Expr::value(now))
            .filter(Column::Task.eq(name.as_str()))
            .filter(Column::Schedule.is_not_null())
            .exec(&tx)
            .await?;
        if asked.rows_affected == 0 {
            return Err(StoreError::NotFound("task"));
        }
        let what = What::about("requested", "task", serde_json::json!({ "name": name }));
        audit::append(&tx, &self.0.chain, by, now, &what).await?;
        tx.commit().await
    }

    /// Every task with its last runs.
    pub async fn task_list(&self) -> Result<Vec<TaskRow>> {
        let db = self.0.db.reader().await?;
        let rows = task_state::Entity::find()
            .filter(Column::Schedule.is_not_null())
            .order_by_asc(Column::Task)
            .all(&db)
            .await?;
        let mut tasks = Vec::with_capacity(rows.len());
        for row in rows {
            let runs = task_runs::Entity::find()
                .filter(task_runs::Column::Task.eq(row.task.as_str()))
                .order_by_desc(task_runs::Column::StartedUs)
                .limit(RUNS_LISTED)
                .all(&db)
                .await?;
            tasks.push(TaskRow {
                name: row.task,
                schedule: row.schedule.unwrap_or_default(),
                timezone: row.timezone.unwrap_or_default(),
                next: row.next_us.map(moment),
                requested: row.requested_us.map(moment),
                runs: runs.into_iter().map(run).collect(),
            });
        }
        Ok(tasks)
    }
}

fn run(row: task_runs::Model) -> TaskRun {
    TaskRun {
        started: moment(row.started_us),
        ended: moment(row.ended_us),
        ok: row.result == "ok",
        words: row.words,
    }
}
