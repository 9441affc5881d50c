//! `/api/admin/rules`: what is to happen when calls meet conditions.

pub(crate) mod past;
pub(crate) mod ready;
mod shape;
pub(crate) mod triggers;

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{CompiledRule, Faults, RuleId, UpstreamId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Stored;
use utoipa::{IntoParams, ToSchema};

use self::shape::{DelayHours, delay, judged, named, placeholder, read};
use super::{
    Created,
    values::{Seconds, all},
};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, nullable, patch::Patch},
    listing::{ListOf, ListQuery, Order, PageQuery},
    permit::{ManageRules, ReadUpstreams, With},
    resource::{created, set, version},
    words::{Per, RuleAction},
};

/// What is to happen when calls meet conditions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rule {
    /// Its id.
    id: i64,
    /// Who made it.
    owner_id: i64,
    /// The upstream whose calls it is evaluated on; `null` for all upstreams.
    upstream_id: Option<i64>,
    /// What people call it.
    name: String,
    /// What a call must be like: a test, or `all`, `any` or `not` of further ones.
    #[schema(value_type = Object)]
    conditions: Value,
    /// How often that must happen; `null` for every time.
    threshold: Option<Threshold>,
    /// What it does.
    actions: Vec<RuleAction>,
    /// How long they last; `null` for as long as usual.
    auto_enable_delay_hours: Option<DelayHours>,
    /// The same in seconds.
    auto_enable_delay_seconds: Option<Seconds>,
    /// How long it is quiet about the same key after it fired.
    cool_down_seconds: Seconds,
    /// Lower is judged first.
    priority: i32,
    /// Whether rules after it are left out when it fires.
    stop: bool,
    /// Whether it only tells what it would have done.
    shadow: bool,
    /// Whether it is in use.
    enabled: bool,
    /// Grows with every change.
    version: i64,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// How often conditions must be met before a rule fires: `count` of the `last` calls, or `count`
/// within `window_seconds`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Threshold {
    /// How often the conditions must be met.
    count: u32,
    /// Of how many calls; either this or `window_seconds`.
    last: Option<u32>,
    /// Within how many seconds; either this or `last`.
    window_seconds: Option<Seconds>,
    /// `key` when not given.
    per: Option<Per>,
}

/// A rule to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "upstream_id": 1, "name": "quota used up",
    "conditions": {"type": "status_code", "operator": "equals", "value": 429},
    "actions": ["disable_key"], "auto_enable_delay_hours": 24,
}))]
pub(crate) struct NewRule {
    /// None for the calls of all upstreams.
    upstream_id: Option<i64>,
    /// Unique for the upstream.
    name: String,
    /// A test `{"type", "operator", "value"}`, an object with `all`, `any` or `not`, or a list of
    /// which all must hold.
    #[schema(value_type = Object)]
    conditions: Value,
    /// How often the conditions must be met; every time when not given.
    threshold: Option<Threshold>,
    /// What it does; at least one.
    actions: Vec<RuleAction>,
    /// How long `disable_key`, `cool_key` and `disable_upstream` last; also with decimals.
    auto_enable_delay_hours: Option<DelayHours>,
    /// The same in seconds; only one of both.
    auto_enable_delay_seconds: Option<Seconds>,
    /// How long it is quiet about the same key after it fired, in seconds; 0 when not given.
    cool_down_seconds: Option<Seconds>,
    /// Lower is judged first; 0 when not given.
    priority: Option<i32>,
    /// Whether rules after it are left out when it fires; false when not given.
    stop: Option<bool>,
    /// Whether it only tells what it would have done; false when not given.
    shadow: Option<bool>,
    /// Whether it is in use; true when not given.
    enabled: Option<bool>,
}

/// What to change of a rule, as a JSON merge patch (RFC 7396): what is not given stays, in objects
/// too; `null` puts a field back to what it is usually.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"shadow": true}))]
pub(crate) struct EditRule {
    /// `null` for the calls of all upstreams.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<i64>)]
    upstream_id: Option<Option<i64>>,
    /// Another name, unique for the upstream.
    name: Option<String>,
    /// Conditions of another kind (another `type`, or `all`, `any` or `not` where there was none)
    /// take the place of the whole.
    #[schema(value_type = Option<Object>)]
    conditions: Option<Value>,
    /// `null` for every time.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Threshold>)]
    threshold: Option<Option<Threshold>>,
    /// All actions anew.
    actions: Option<Vec<RuleAction>>,
    /// `null` for as long as usual.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<DelayHours>)]
    auto_enable_delay_hours: Option<Option<DelayHours>>,
    /// `null` for as long as usual.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<Seconds>)]
    auto_enable_delay_seconds: Option<Option<Seconds>>,
    /// How long it is quiet about the same key after it fired, in seconds.
    cool_down_seconds: Option<Seconds>,
    /// Lower is judged first.
    priority: Option<i32>,
    /// Whether rules after it are left out when it fires.
    stop: Option<bool>,
    /// Whether it only tells what it would have done.
    shadow: Option<bool>,
    /// Whether it is in use.
    enabled: Option<bool>,
}

/// Which rules are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulesQuery {
    /// Only this upstream's own.
    upstream_id: Option<i64>,
    /// Where the page before ended: its `next_cursor`.
    cursor: Option<String>,
    /// At most this many items.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// Only rules with these characters in their name.
    search: Option<String>,
    /// The order; `-` in front turns it round.
    #[param(inline)]
    sort: Option<Order>,
}

/// Rules, a page at a time.
#[utoipa::path(get, path = "/api/admin/rules", tag = "rules", params(RulesQuery),
    responses((status = 200, description = "A page of rules", body = ListOf<Rule>)))]
pub(crate) async fn list_rules(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<RulesQuery>,
) -> Result<Answer<ListOf<Rule>>, ApiError> {
    let RulesQuery { upstream_id, cursor, limit, search, sort } = query;
    let page = ListQuery { cursor, limit, search, sort }.page()?;
    app.list(&actor, &upstream_id.map(UpstreamId), page).await
}

/// Create a rule. It is evaluated on calls within a second.
#[utoipa::path(post, path = "/api/admin/rules", tag = "rules", request_body = NewRule,
    responses((status = 201, description = "The rule was created", body = Rule)))]
pub(crate) async fn create_rule(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Json(new): Json<NewRule>,
) -> Result<Created<Rule>, ApiError> {
    let seconds = new.auto_enable_delay_seconds.is_some();
    let made = app.store.create(&actor, fresh, |rule| EditRule::from(new).apply(rule)).await;
    let made = made.map_err(|refused| named(refused, seconds))?;
    Ok(created::<domain::Rule, _>(made.value.id, made.into()))
}

/// One rule.
#[utoipa::path(get, path = "/api/admin/rules/{id}", tag = "rules", params(("id" = i64, Path, description = "The id of the rule")),
    responses((status = 200, description = "The rule", body = Rule)))]
pub(crate) async fn read_rule(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Rule>, ApiError> {
    Ok(Answer(app.get(&actor, id).await?.into()))
}

/// Change a rule. It has another version then.
#[utoipa::path(patch, path = "/api/admin/rules/{id}", tag = "rules", params(("id" = i64, Path, description = "The id of the rule")),
    request_body(content((EditRule = "application/json"), (EditRule = "application/merge-patch+json"))),
    responses((status = 200, description = "The rule", body = Rule)))]
pub(crate) async fn edit_rule(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditRule>,
) -> Result<Answer<Rule>, ApiError> {
    let seconds = patch.get("auto_enable_delay_seconds").is_some();
    let edit = |rule: &mut domain::Rule| {
        let mut now = Rule::from(Stored::new(rule.clone()));
        if patch.get("conditions").is_some_and(|new| shape::other_kind(new, &now.conditions)) {
            now.conditions = Value::Null;
        }
        patch.onto(&now, &usual())?.apply(rule)
    };
    let edited = if_match.on(&app.store).edit(&actor, RuleId(id), edit).await;
    Ok(Answer(edited.map_err(|refused| named(refused, seconds))?.into()))
}

/// Delete a rule. What it did to keys stays as it is.
#[utoipa::path(delete, path = "/api/admin/rules/{id}", tag = "rules", params(("id" = i64, Path, description = "The id of the rule")),
    responses((status = 204, description = "The rule was deleted")))]
pub(crate) async fn delete_rule(
    actor: With<ManageRules>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    app.delete::<domain::Rule>(&actor, &if_match, id).await
}

version!(RuleVersion of Rule);

/// What a rule was like after each of its changes, the newest first: of the last 365 days, those of deleted
/// ones too for who sees everything. A change of more than 1,000 at once leaves no version of each.
#[utoipa::path(get, path = "/api/admin/rules/{id}/history", tag = "rules",
    params(("id" = i64, Path, description = "The id of the rule"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<RuleVersion>)))]
pub(crate) async fn rule_history(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<RuleVersion>>, ApiError> {
    app.history::<domain::Rule, _>(&actor, id, query).await
}

/// What a patch finds in the place of what it removes.
fn usual() -> Value {
    json!({
        "upstream_id": null, "threshold": null, "auto_enable_delay_hours": null,
        "auto_enable_delay_seconds": null, "cool_down_seconds": 0, "priority": 0, "stop": false,
        "shadow": false, "enabled": true,
    })
}

impl From<NewRule> for EditRule {
    fn from(new: NewRule) -> Self {
        Self {
            upstream_id: new.upstream_id.map(Some),
            name: Some(new.name),
            conditions: Some(new.conditions),
            threshold: new.threshold.map(Some),
            actions: Some(new.actions),
            auto_enable_delay_hours: new.auto_enable_delay_hours.map(Some),
            auto_enable_delay_seconds: new.auto_enable_delay_seconds.map(Some),
            cool_down_seconds: new.cool_down_seconds,
            priority: new.priority,
            stop: new.stop,
            shadow: new.shadow,
            enabled: new.enabled,
        }
    }
}

impl NewRule {
    /// The rule that it would be, and what is wrong with it: what cannot be read does not hide what
    /// else is.
    fn read(self) -> Result<CompiledRule, Faults> {
        let seconds = self.auto_enable_delay_seconds.is_some();
        let mut rule = fresh(RuleId(0), UserId(0));
        let applied = EditRule::from(self).apply(&mut rule);
        let judged = judged(rule, seconds);
        match applied {
            Ok(()) => judged,
            Err(mut faults) => {
                faults.0.extend(judged.err().unwrap_or_default().0);
                Err(faults)
            }
        }
    }
}

/// A rule of which nothing was said.
fn fresh(id: RuleId, owner: UserId) -> domain::Rule {
    domain::Rule::new(id, owner, String::new(), placeholder(), Vec::new())
}

impl EditRule {
    /// Puts what is given in the place of what was. Conditions that cannot be read do not hide what
    /// else is wrong.
    fn apply(self, rule: &mut domain::Rule) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let conditions = self.conditions.as_ref().map(read).transpose();
        let conditions = conditions.map_err(|refused| faults.0.extend(refused.0));
        let (hours, seconds) = (self.auto_enable_delay_hours, self.auto_enable_delay_seconds);
        let delay = (hours.is_some() || seconds.is_some())
            .then(|| delay(&mut faults, hours.flatten(), seconds.flatten()));
        set(&mut rule.upstream, self.upstream_id.map(|id| id.map(UpstreamId)));
        set(&mut rule.name, self.name);
        set(&mut rule.conditions, conditions.unwrap_or_default());
        set(&mut rule.threshold, self.threshold.map(|threshold| threshold.map(Into::into)));
        set(&mut rule.actions, self.actions.map(all));
        set(&mut rule.auto_enable_delay, delay);
        set(&mut rule.cool_down, self.cool_down_seconds.map(|time| time.0));
        set(&mut rule.priority, self.priority);
        set(&mut rule.stops, self.stop);
        set(&mut rule.shadow, self.shadow);
        set(&mut rule.enabled, self.enabled);
        faults.none_or(())
    }
}

impl Input for NewRule {
    fn faults(&self) -> Faults {
        self.clone().read().err().unwrap_or_default()
    }
}

impl Input for EditRule {
    const NULLABLE: Option<&'static [&'static str]> =
        Some(&["upstream_id", "threshold", "auto_enable_delay_hours", "auto_enable_delay_seconds"]);
    const REQUIRED: &'static [&'static str] = &["name", "conditions", "actions"];
}

impl From<Stored<domain::Rule>> for Rule {
    fn from(row: Stored<domain::Rule>) -> Self {
        let rule = row.value;
        Self {
            id: rule.id.0,
            owner_id: rule.owner.0,
            upstream_id: rule.upstream.map(|id| id.0),
            name: rule.name,
            conditions: shape::shown(&rule.conditions),
            threshold: rule.threshold.map(Into::into),
            actions: rule.actions.into_iter().map(Into::into).collect(),
            auto_enable_delay_hours: rule.auto_enable_delay.map(DelayHours),
            auto_enable_delay_seconds: rule.auto_enable_delay.map(Seconds),
            cool_down_seconds: Seconds(rule.cool_down),
            priority: rule.priority,
            stop: rule.stops,
            shadow: rule.shadow,
            enabled: rule.enabled,
            version: rule.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl From<domain::rule::Threshold> for Threshold {
    fn from(threshold: domain::rule::Threshold) -> Self {
        Self {
            count: threshold.count,
            last: threshold.last,
            window_seconds: threshold.window.map(Seconds),
            per: Some(threshold.per.into()),
        }
    }
}

impl From<Threshold> for domain::rule::Threshold {
    fn from(threshold: Threshold) -> Self {
        Self {
            count: threshold.count,
            last: threshold.last,
            window: threshold.window_seconds.map(|time| time.0),
            per: threshold.per.map(Into::into).unwrap_or_default(),
        }
    }
}
