//! Finds sessions of client programs: page by page, and one with its agents and the sessions that it
//! started.

use std::collections::{BTreeMap, HashSet};

use domain::{ServiceKeyId, UserId};
use entity::{agent_session_parts as parts, agent_sessions as sessions};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, Order, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use sessions::Column;

use crate::{
    AgentPart, AgentSession, Listed, Page, Result, SessionFilter, SessionSum, SessionTree, Store,
    StoreError, moment, paging, uncount,
};

/// Most agents and models of one session that are shown.
const PARTS_MAX: u64 = 1_000;
/// Most sessions below one that are shown.
const BELOW_MAX: usize = 200;
/// How deep the tree of sessions is shown.
const DEPTH_MAX: usize = 8;

impl Store {
    /// A page of sessions, those with the latest call first, each with its models.
    ///
    /// # Errors
    ///
    /// Returns an error for a cursor that this list did not give.
    pub async fn agent_sessions(
        &self,
        filter: SessionFilter,
        page: Page,
    ) -> Result<Listed<AgentSession>> {
        let us = |at: chrono::DateTime<chrono::Utc>| at.timestamp_micros();
        let mut wanted = Condition::all()
            .add_option(filter.owner.map(|owner| Column::OwnerId.eq(owner.0)))
            .add_option(filter.service_key.map(|key| Column::ServiceKeyId.eq(key.0)))
            .add_option(filter.program.map(|program| Column::ClientProgram.eq(program)))
            .add_option(filter.session.map(|session| Column::Session.eq(session)))
            .add_option(filter.parent.map(|parent| Column::ParentSession.eq(parent)))
            .add_option(filter.from.map(|from| Column::LastUs.gte(us(from))))
            .add_option(filter.to.map(|to| Column::LastUs.lt(us(to))));
        if filter.failed {
            wanted = wanted.add(Column::Errors.gt(0));
        }
        if let Some(text) = page.search.as_deref() {
            wanted = wanted.add(paging::contains(Column::Session, text)?);
        }
        if let Some(cursor) = &page.cursor {
            let (at, id) = read_cursor(cursor).ok_or_else(paging::bad_cursor)?;
            let at = Some((paging::column(Column::LastUs), at.into()));
            let id = (paging::column(Column::Id), id.into());
            wanted = wanted.add(paging::behind(at, id, &Order::Desc));
        }
        let db = self.0.db.reader().await?;
        let mut rows = sessions::Entity::find()
            .filter(wanted)
            .order_by_desc(Column::LastUs)
            .order_by_desc(Column::Id)
            .limit(page.rows() + 1)
            .all(&db)
            .await?;
        let more = rows.len() as u64 > page.rows();
        rows.truncate(usize::try_from(page.rows()).unwrap_or(usize::MAX));
        let last = rows.last().filter(|_| more);
        let next_cursor = last.map(|row| format!("{}.{}", row.last_us, row.id));
        let mut models = self.models_of(&rows).await?;
        let items = rows.into_iter().map(|row| {
            let models = models.remove(&(row.owner_id, row.session.clone())).unwrap_or_default();
            read(row, models)
        });
        Ok(Listed { items: items.collect(), next_cursor })
    }

    /// One session with its agents, and the sessions that it started.
    ///
    /// # Errors
    ///
    /// Returns [`StoreError::NotFound`] where there is none with this id.
    pub async fn agent_session(&self, id: i64) -> Result<SessionTree> {
        let db = self.0.db.reader().await?;
        let row = sessions::Entity::find_by_id(id).one(&db).await?;
        let row = row.ok_or(StoreError::NotFound("session"))?;
        let found = parts::Entity::find()
            .filter(parts::Column::OwnerId.eq(row.owner_id))
            .filter(parts::Column::Session.eq(row.session.as_str()))
            .order_by_asc(parts::Column::FirstUs)
            .order_by_asc(parts::Column::Agent)
            .order_by_asc(parts::Column::Model)
            .limit(PARTS_MAX)
            .all(&db)
            .await?;
        drop(db);
        let below = self.below(&row).await?;
        let mut rows = vec![row];
        rows.extend(below);
        let mut models = self.models_of(&rows).await?;
        let mut all = rows.into_iter().map(|row| {
            let models = models.remove(&(row.owner_id, row.session.clone())).unwrap_or_default();
            read(row, models)
        });
        let session = all.next().ok_or(StoreError::NotFound("session"))?;
        Ok(SessionTree {
            session,
            parts: found.into_iter().map(part).collect(),
            below: all.collect(),
        })
    }

    /// The sessions that `row` and those below it started, at most [`BELOW_MAX`].
    async fn below(&self, row: &sessions::Model) -> Result<Vec<sessions::Model>> {
        let db = self.0.db.reader().await?;
        let mut seen = HashSet::from([row.session.clone()]);
        let (mut level, mut all) = (vec![row.session.clone()], Vec::new());
        for _ in 0..DEPTH_MAX {
            let room = BELOW_MAX - all.len();
            if level.is_empty() || room == 0 {
                break;
            }
            let found = sessions::Entity::find()
                .filter(Column::OwnerId.eq(row.owner_id))
                .filter(Column::ParentSession.is_in(std::mem::take(&mut level)))
                .order_by_asc(Column::FirstUs)
                .limit(room as u64)
                .all(&db)
                .await?;
            for row in found {
                // A client may say that two sessions started each other.
                if seen.insert(row.session.clone()) {
                    level.push(row.session.clone());
                    all.push(row);
                }
            }
        }
        Ok(all)
    }

    /// The models of these sessions, the first used first; at most [`PARTS_MAX`] in all.
    async fn models_of(
        &self,
        rows: &[sessions::Model],
    ) -> Result<BTreeMap<(i64, String), Vec<String>>> {
        let mut models: BTreeMap<(i64, String), Vec<String>> = BTreeMap::new();
        if rows.is_empty() {
            return Ok(models);
        }
        let owners: HashSet<i64> = rows.iter().map(|row| row.owner_id).collect();
        let names = rows.iter().map(|row| row.session.as_str());
        let found: Vec<(i64, String, String)> = parts::Entity::find()
            .select_only()
            .columns([parts::Column::OwnerId, parts::Column::Session, parts::Column::Model])
            .filter(parts::Column::OwnerId.is_in(owners))
            .filter(parts::Column::Session.is_in(names))
            .filter(parts::Column::Model.ne(""))
            .group_by(parts::Column::OwnerId)
            .group_by(parts::Column::Session)
            .group_by(parts::Column::Model)
            .order_by_asc(Expr::col(parts::Column::FirstUs).min())
            .order_by_asc(parts::Column::Model)
            .limit(PARTS_MAX)
            .into_tuple()
            .all(&self.0.db.reader().await?)
            .await?;
        for (owner, session, model) in found {
            models.entry((owner, session)).or_default().push(model);
        }
        Ok(models)
    }
}

fn read_cursor(text: &str) -> Option<(i64, i64)> {
    let (at, id) = text.split_once('.')?;
    Some((at.parse().ok()?, id.parse().ok()?))
}

macro_rules! sum {
    ($row:expr) => {
        SessionSum {
            first_at: moment($row.first_us),
            last_at: moment($row.last_us),
            calls: uncount($row.calls),
            errors: uncount($row.errors),
            input: uncount($row.input_tokens),
            cached: uncount($row.cached_tokens),
            cache_written: uncount($row.cache_written_tokens),
            output: uncount($row.output_tokens),
            cost_nano: $row.cost_nano,
            unpriced: uncount($row.unpriced),
        }
    };
}

fn read(row: sessions::Model, models: Vec<String>) -> AgentSession {
    AgentSession {
        id: row.id,
        sum: sum!(row),
        turns: uncount(row.turns),
        owner: UserId(row.owner_id),
        service_key: ServiceKeyId(row.service_key_id),
        session: row.session,
        parent: row.parent_session,
        program: row.client_program,
        version: row.client_version,
        models,
    }
}

fn part(row: parts::Model) -> AgentPart {
    let known = |text: String| Some(text).filter(|text| !text.is_empty());
    AgentPart {
        sum: sum!(row),
        agent: known(row.agent),
        parent: row.parent_agent,
        model: known(row.model),
    }
}
