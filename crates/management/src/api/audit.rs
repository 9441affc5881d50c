//! `/api/admin/audit`: who did what, from where, and what was refused. The file of it is in `export`.

pub(crate) mod export;

use std::net::IpAddr;

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{Faults, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use store::{AuditFilter, AuditRow};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Management,
    error::ApiError,
    input::Query,
    listing::{ListOf, PageQuery},
    permit::{ReadAudit, With},
};

/// One line of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AuditLine {
    /// Its place in the trail, from 1 without gaps.
    id: i64,
    /// When.
    at: DateTime<Utc>,
    /// What was done: the kind of object and a verb.
    #[schema(example = "upstream.edit")]
    action: String,
    /// What became of it.
    result: AuditResult,
    /// Who did it: a name, `system`, or the name that somebody tried to sign in with.
    actor: String,
    /// The id of the user; `null` where it was nobody who is signed in.
    actor_id: Option<i64>,
    /// The address that it came from.
    #[schema(value_type = Option<String>, example = "203.0.113.7")]
    address: Option<IpAddr>,
    /// The kind of object.
    #[schema(example = "upstream")]
    object_kind: String,
    /// The id of the object, where it was one.
    object_id: Option<i64>,
    /// What the object was called then.
    object_name: Option<String>,
    /// The fields before the change, of an edit only those that differ. Secrets are not in it.
    before: Option<Map<String, Value>>,
    /// The fields after the change, of an edit only those that differ; of a secret that was replaced the
    /// word `changed`.
    after: Option<Map<String, Value>>,
    /// What else is known of it: the permission that was missing, how many objects it was about.
    detail: Map<String, Value>,
    /// Why, as whoever did it said.
    comment: Option<String>,
    /// The revision of the configuration that it made.
    revision: Option<i64>,
}

/// What became of an action.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditResult {
    Done,
    Refused,
}

/// Which lines of the audit trail are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    /// Only actions of whoever has these characters in the name.
    actor: Option<String>,
    /// Only actions of this user.
    actor_id: Option<i64>,
    /// Only this action, for example `upstream.edit` or `auth.login_failed`.
    #[param(pattern = "^[a-z_]{1,64}\\.[a-z_]{1,64}$")]
    action: Option<String>,
    /// Only objects of this kind, for example `upstream`.
    object_kind: Option<String>,
    /// Only the object with this id.
    object_id: Option<i64>,
    /// Only actions with this result.
    #[param(inline)]
    result: Option<AuditResult>,
    /// Only actions from this address.
    #[param(value_type = Option<String>, format = "ip")]
    address: Option<IpAddr>,
    /// Only actions at this moment or later.
    from: Option<DateTime<Utc>>,
    /// Only actions before this moment.
    to: Option<DateTime<Utc>>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// The audit trail, the newest first. Whoever sees only their own objects sees only their own actions.
#[utoipa::path(get, path = "/api/admin/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, description = "A page of the audit trail", body = ListOf<AuditLine>)))]
pub(crate) async fn list_audit(
    actor: With<ReadAudit>,
    State(app): State<Management>,
    Query(query): Query<AuditQuery>,
) -> Result<Answer<ListOf<AuditLine>>, ApiError> {
    let mut page = PageQuery { cursor: query.cursor.clone(), limit: query.limit }.page()?;
    page.owner = actor.confined_to();
    let found = app.store.find_audit(&query.filter()?, page).await?;
    Ok(Answer(ListOf::of(found, AuditLine::from)))
}

impl AuditQuery {
    fn filter(self) -> Result<AuditFilter, ApiError> {
        let mut faults = Faults::default();
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            faults.add("to", "must be later than `from`");
        }
        if self.actor.as_ref().is_some_and(|actor| actor.len() > 128) {
            faults.add("actor", "must be at most 128 bytes");
        }
        let filter = AuditFilter {
            user: self.actor_id.map(UserId),
            actor: self.actor.filter(|actor| !actor.trim().is_empty()),
            ip: self.address,
            action: self.action,
            subject: self.object_kind,
            subject_id: self.object_id,
            from: self.from,
            to: self.to,
            refused: self.result.map(|result| matches!(result, AuditResult::Refused)),
        };
        faults.none_or(filter).map_err(ApiError::Invalid)
    }
}

impl From<AuditRow> for AuditLine {
    fn from(row: AuditRow) -> Self {
        let mut detail = match row.detail {
            Value::Object(detail) => detail,
            _ => Map::new(),
        };
        let mut side = |name: &str| match detail.shift_remove(name) {
            Some(Value::Object(fields)) => Some(fields),
            _ => None,
        };
        Self {
            before: side("before"),
            after: side("after"),
            id: row.id,
            at: row.at,
            action: row.called,
            result: if row.refused { AuditResult::Refused } else { AuditResult::Done },
            actor: row.actor,
            actor_id: row.user.map(|user| user.0),
            address: row.ip,
            object_kind: row.subject,
            object_id: row.subject_id,
            object_name: row.name,
            detail,
            comment: row.comment,
            revision: row.revision,
        }
    }
}
