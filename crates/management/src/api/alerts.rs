//! `/api/admin/alerts`: what a person should look at. Alerts are raised by the running gateway;
//! people take them on and say that they are over.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{AlertId, UpstreamId};
use serde::{Deserialize, Serialize};
use store::{AlertFilter, AlertRow};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Management,
    error::ApiError,
    input::{Id, Query},
    listing::{ListOf, PageQuery},
    permit::{ManageRules, ReadUpstreams, With},
    words::{AlertState, Severity},
};

/// Something a person should look at. What belongs together is one alert until it is over.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Alert {
    /// Its id.
    id: i64,
    /// What belongs together.
    #[schema(example = "rule:7:key:12")]
    group: String,
    /// Whether anybody has looked at it.
    state: AlertState,
    /// How much it matters.
    severity: Severity,
    /// What it is, in a line.
    title: String,
    /// More of it, as last told.
    words: String,
    /// About which upstream.
    upstream_id: Option<i64>,
    /// About which provider key.
    key_id: Option<i64>,
    /// By which rule.
    rule_id: Option<i64>,
    /// How often it was raised.
    count: u64,
    /// When it was raised first.
    first_at: DateTime<Utc>,
    /// When it was raised last.
    last_at: DateTime<Utc>,
    /// Who took it on.
    acknowledged_by: Option<String>,
    /// When somebody took it on.
    acknowledged_at: Option<DateTime<Utc>>,
    /// Who said that it is over: a person, or `gateway`.
    resolved_by: Option<String>,
    /// When it was over.
    resolved_at: Option<DateTime<Utc>>,
}

/// Which alerts are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AlertsQuery {
    /// Only those that are not over (`true`), or that are (`false`).
    open: Option<bool>,
    /// Only those that stand so.
    #[param(inline)]
    state: Option<AlertState>,
    /// Only those that matter so much.
    #[param(inline)]
    severity: Option<Severity>,
    /// Only those about this upstream.
    upstream_id: Option<i64>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// Alerts, the newest first.
#[utoipa::path(get, path = "/api/admin/alerts", tag = "alerts", params(AlertsQuery),
    responses((status = 200, description = "A page of alerts", body = ListOf<Alert>)))]
pub(crate) async fn list_alerts(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<AlertsQuery>,
) -> Result<Answer<ListOf<Alert>>, ApiError> {
    let filter = AlertFilter {
        open: query.open,
        state: query.state.map(Into::into),
        severity: query.severity.map(Into::into),
        upstream: query.upstream_id.map(UpstreamId),
        owner: actor.confined_to(),
    };
    let page = PageQuery { cursor: query.cursor, limit: query.limit }.page()?;
    Ok(Answer(ListOf::of(app.store.alerts(filter, page).await?, Alert::from)))
}

/// One alert.
#[utoipa::path(get, path = "/api/admin/alerts/{id}", tag = "alerts", params(("id" = i64, Path, description = "The id of the alert")),
    responses((status = 200, description = "The alert", body = Alert)))]
pub(crate) async fn read_alert(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Alert>, ApiError> {
    let row = app.store.alert(AlertId(id), actor.confined_to()).await?;
    Ok(Answer(row.into()))
}

/// Say that you have taken an alert on. One that somebody took on before, or that is over, stays
/// as it is.
#[utoipa::path(post, path = "/api/admin/alerts/{id}/acknowledge", tag = "alerts", params(("id" = i64, Path, description = "The id of the alert")),
    responses((status = 200, description = "The alert", body = Alert)))]
pub(crate) async fn acknowledge_alert(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Alert>, ApiError> {
    let id = AlertId(id);
    app.store.acknowledge_alert(&actor, id).await?;
    Ok(Answer(app.store.alert(id, actor.confined_to()).await?.into()))
}

/// Say that an alert is over. If it is raised again, that is a new one.
#[utoipa::path(post, path = "/api/admin/alerts/{id}/resolve", tag = "alerts", params(("id" = i64, Path, description = "The id of the alert")),
    responses((status = 200, description = "The alert", body = Alert)))]
pub(crate) async fn resolve_alert(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Alert>, ApiError> {
    let id = AlertId(id);
    app.store.resolve_alert(&actor, id).await?;
    Ok(Answer(app.store.alert(id, actor.confined_to()).await?.into()))
}

impl From<AlertRow> for Alert {
    fn from(row: AlertRow) -> Self {
        let (acknowledged_by, acknowledged_at) = row.acknowledged.unzip();
        let (resolved_by, resolved_at) = row.resolved.unzip();
        Self {
            id: row.id.0,
            group: row.group,
            state: row.state.into(),
            severity: row.severity.into(),
            title: row.title,
            words: row.words,
            upstream_id: row.upstream.map(|id| id.0),
            key_id: row.key.map(|id| id.0),
            rule_id: row.rule.map(|id| id.0),
            count: row.count,
            first_at: row.first,
            last_at: row.last,
            acknowledged_by,
            acknowledged_at,
            resolved_by,
            resolved_at,
        }
    }
}
