//! `/api/admin/sessions`: the sessions of client programs, as their own headers name them.

mod sums;
mod tree;

use auth::Actor;
use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{Faults, ServiceKeyId, UserId};
use serde::{Deserialize, Serialize};
use store::{LogFilter, Page, SessionFilter, SessionTree};
use utoipa::{IntoParams, ToSchema};

use self::{
    sums::SessionSums,
    tree::{Agent, agents, sessions_below},
};
use super::{logs::LogEntry, money::Cost};
use crate::{
    app::Management,
    error::ApiError,
    input::{Id, Query},
    listing::{ListOf, ListQuery, PageQuery},
    permit::{ReadLogs, With},
};

/// A session of a client program: the sums of its calls. Sub-agents that the client runs within the
/// session are in the sums; sessions that it started are not.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentSession {
    /// Its id.
    id: i64,
    /// The id that the client gave it, as `session` of its log entries has it.
    session: String,
    /// The session that started it, by the id of the client.
    parent_session: Option<String>,
    /// The user who owns the service keys of its calls.
    owner_id: i64,
    /// The service key of its latest call.
    service_key_id: i64,
    /// The client program, by its `user-agent`.
    #[schema(example = "claude-code")]
    client_program: Option<String>,
    /// The version of the client program.
    client_version: Option<String>,
    /// Calls of the main agent that were answered well.
    turns: u64,
    /// The models, the first used first.
    models: Vec<String>,
    #[serde(flatten)]
    sums: SessionSums,
}

/// A session with its agents and the sessions that it started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentSessionInFull {
    /// The session.
    session: AgentSession,
    /// Its agents as a tree, each followed by those that it started; the main one first.
    agents: Vec<Agent>,
    /// The sessions that it started as a tree, each followed by those that it started; at most 200.
    sessions: Vec<SessionBelow>,
    /// What the session and those below it cost together, in dollars.
    cost_with_sessions: Cost,
}

/// A session in a tree of sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionBelow {
    /// How far below the session that was asked for: 1 for those that it started itself.
    depth: usize,
    /// The session.
    session: AgentSession,
}

/// Which sessions are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsQuery {
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Only sessions with these characters in the id of the client.
    search: Option<String>,
    /// Only the session with this id of the client.
    session: Option<String>,
    /// Only sessions that the session with this id of the client started.
    parent_session: Option<String>,
    /// Only sessions of this user's service keys.
    owner_id: Option<i64>,
    /// Only sessions whose latest call came with this service key.
    service_key_id: Option<i64>,
    /// Only sessions of this client program.
    client_program: Option<String>,
    /// Only sessions whose last call ended at this time or later.
    from: Option<DateTime<Utc>>,
    /// Only sessions whose last call ended before this time.
    to: Option<DateTime<Utc>>,
    /// Only sessions with calls that count as errors.
    errors: Option<bool>,
}

/// Sessions of client programs, those with the latest call first.
///
/// Known clients (Claude Code, Codex, OpenCode and others that send `x-session-id`) name the session of
/// each call in a header. Sessions are kept as long as log entries. Who sees only their own log entries
/// sees only their own sessions.
#[utoipa::path(get, path = "/api/admin/sessions", tag = "logs", params(SessionsQuery),
    responses((status = 200, description = "A page of sessions", body = ListOf<AgentSession>)))]
pub(crate) async fn list_agent_sessions(
    actor: With<ReadLogs>,
    State(app): State<Management>,
    Query(query): Query<SessionsQuery>,
) -> Result<Answer<ListOf<AgentSession>>, ApiError> {
    let (mut filter, page) = query.split()?;
    if let Some(own) = actor.confined_to() {
        filter.owner = Some(own);
    }
    let rows = app.store.agent_sessions(filter, page).await?;
    Ok(Answer(ListOf::of(rows, AgentSession::from)))
}

/// One session, with its agents and the sessions that it started.
#[utoipa::path(get, path = "/api/admin/sessions/{id}", tag = "logs", params(("id" = i64, Path, description = "The id of the session")),
    responses((status = 200, description = "The session", body = AgentSessionInFull)))]
pub(crate) async fn read_agent_session(
    actor: With<ReadLogs>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<AgentSessionInFull>, ApiError> {
    Ok(Answer(seen(&actor, &app, id).await?.into()))
}

/// The calls of a session, the newest first, those of its agents too.
#[utoipa::path(get, path = "/api/admin/sessions/{id}/calls", tag = "logs",
    params(("id" = i64, Path, description = "The id of the session"), PageQuery),
    responses((status = 200, description = "A page of log entries", body = ListOf<LogEntry>)))]
pub(crate) async fn list_calls_of_session(
    actor: With<ReadLogs>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<LogEntry>>, ApiError> {
    let session = seen(&actor, &app, id).await?.session;
    let filter = LogFilter {
        session: Some(session.session),
        owner: Some(session.owner),
        ..LogFilter::default()
    };
    let rows = app.store.log_entries(filter, query.page()?).await?;
    Ok(Answer(ListOf::of(rows, LogEntry::from)))
}

/// The session, for whoever may see it; to the others it does not exist.
async fn seen(actor: &Actor, app: &Management, id: i64) -> Result<SessionTree, ApiError> {
    let tree = app.store.agent_session(id).await?;
    match actor.confined_to() {
        Some(own) if own != tree.session.owner => Err(ApiError::NotFound("session")),
        _ => Ok(tree),
    }
}

impl SessionsQuery {
    fn split(self) -> Result<(SessionFilter, Page), ApiError> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            let mut faults = Faults::default();
            faults.add("to", "must be later than `from`");
            return Err(ApiError::Invalid(faults));
        }
        let filter = SessionFilter {
            owner: self.owner_id.map(UserId),
            service_key: self.service_key_id.map(ServiceKeyId),
            program: self.client_program,
            session: self.session,
            parent: self.parent_session,
            from: self.from,
            to: self.to,
            failed: self.errors.unwrap_or(false),
        };
        let Self { cursor, limit, search, .. } = self;
        Ok((filter, ListQuery { cursor, limit, search, sort: None }.page()?))
    }
}

impl From<store::AgentSession> for AgentSession {
    fn from(row: store::AgentSession) -> Self {
        Self {
            id: row.id,
            session: row.session,
            parent_session: row.parent,
            owner_id: row.owner.0,
            service_key_id: row.service_key.0,
            client_program: row.program,
            client_version: row.version,
            turns: row.turns,
            models: row.models,
            sums: row.sum.into(),
        }
    }
}

impl From<SessionTree> for AgentSessionInFull {
    fn from(tree: SessionTree) -> Self {
        let below: i64 = tree.below.iter().map(|one| one.sum.cost_nano).sum();
        let cost_with_sessions = Cost(tree.session.sum.cost_nano.saturating_add(below));
        let sessions = sessions_below(&tree.session.session, tree.below);
        let sessions = sessions
            .into_iter()
            .map(|(depth, session)| SessionBelow { depth, session: session.into() });
        Self {
            agents: agents(tree.parts),
            sessions: sessions.collect(),
            session: tree.session.into(),
            cost_with_sessions,
        }
    }
}
