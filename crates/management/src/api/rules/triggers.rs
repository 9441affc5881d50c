//! Rules that fired, or would have: of one rule, of all.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{Faults, ProviderKeyId, Rule, RuleId, UpstreamId};
use serde::{Deserialize, Serialize};
use store::{TriggerFilter, TriggerRow};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::{
    api::evidence::Evidence,
    app::Management,
    error::ApiError,
    input::{Id, Query},
    listing::{ListOf, PageQuery},
    permit::{ReadUpstreams, With},
    words::RuleAction,
};

/// A rule that fired, or would have.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RuleTrigger {
    /// Its number; it grows with time.
    id: i64,
    /// The rule that fired.
    rule_id: i64,
    /// In which form: the rule's `version` then.
    rule_version: i64,
    /// About a call to which upstream.
    upstream_id: i64,
    /// With which provider key.
    key_id: Option<i64>,
    /// The model that was asked for.
    model: Option<String>,
    /// The log entry of the call.
    log_id: Uuid,
    /// When it fired.
    at: DateTime<Utc>,
    /// Whether it only tells what it would have done.
    shadow: bool,
    /// What was done.
    actions: Vec<RuleAction>,
    /// Until when that lasts, where it ends by itself.
    until: Option<DateTime<Utc>>,
    /// What it was concluded from.
    evidence: Evidence,
}

/// Which triggers are wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriggersQuery {
    /// Only of this rule.
    rule_id: Option<i64>,
    /// Only about calls to this upstream.
    upstream_id: Option<i64>,
    /// Only about calls with this provider key.
    key_id: Option<i64>,
    /// Only what was done (`false`), or what only would have been (`true`).
    shadow: Option<bool>,
    /// Not before.
    from: Option<DateTime<Utc>>,
    /// Before.
    to: Option<DateTime<Utc>>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
}

/// The times that one rule fired, the newest first.
#[utoipa::path(get, path = "/api/admin/rules/{id}/triggers", tag = "rules",
    params(("id" = i64, Path, description = "The id of the rule"), PageQuery),
    responses((status = 200, description = "A page of rule triggers", body = ListOf<RuleTrigger>)))]
pub(crate) async fn list_triggers_of_rule(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<RuleTrigger>>, ApiError> {
    let page = query.page()?;
    let rule = app.get::<Rule>(&actor, id).await?.value.id;
    let owner = actor.confined_to();
    let filter = TriggerFilter { rule: Some(rule), owner, ..TriggerFilter::default() };
    Ok(Answer(ListOf::of(app.store.triggers(filter, page).await?, RuleTrigger::from)))
}

/// The times that rules fired, the newest first; those of deleted rules too, as long as they are
/// kept.
#[utoipa::path(get, path = "/api/admin/rule-triggers", tag = "rules", params(TriggersQuery),
    responses((status = 200, description = "A page of rule triggers", body = ListOf<RuleTrigger>)))]
pub(crate) async fn list_triggers(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<TriggersQuery>,
) -> Result<Answer<ListOf<RuleTrigger>>, ApiError> {
    let (filter, page) = query.split()?;
    let filter = TriggerFilter { owner: actor.confined_to(), ..filter };
    Ok(Answer(ListOf::of(app.store.triggers(filter, page.page()?).await?, RuleTrigger::from)))
}

impl TriggersQuery {
    fn split(self) -> Result<(TriggerFilter, PageQuery), ApiError> {
        let mut faults = Faults::default();
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            faults.add("to", "must be later than `from`");
        }
        let filter = TriggerFilter {
            rule: self.rule_id.map(RuleId),
            upstream: self.upstream_id.map(UpstreamId),
            key: self.key_id.map(ProviderKeyId),
            shadow: self.shadow,
            from: self.from,
            to: self.to,
            owner: None,
        };
        let page = PageQuery { cursor: self.cursor, limit: self.limit };
        faults.none_or((filter, page)).map_err(ApiError::Invalid)
    }
}

impl From<TriggerRow> for RuleTrigger {
    fn from(row: TriggerRow) -> Self {
        Self {
            id: row.id,
            rule_id: row.rule.0,
            rule_version: row.version,
            upstream_id: row.upstream.0,
            key_id: row.key.map(|key| key.0),
            model: row.model,
            log_id: row.log,
            at: row.at,
            shadow: row.shadow,
            actions: row.actions.into_iter().map(Into::into).collect(),
            until: row.until,
            evidence: row.evidence.into(),
        }
    }
}
