//! `/api/admin/upstreams`

mod live;
mod models;
mod policy;

pub(crate) use live::*;
pub(crate) use models::*;
use policy::{EditPolicy, Policy};

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{
    BaseUrl, Faults, PoolPolicy, Timeouts, UpstreamId, UserId,
    policy::{HeaderScript, ScriptError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::UpstreamRow;
use utoipa::ToSchema;

use super::{
    Created,
    profiles::ProfileRule,
    values::{HeaderRule, KeyPlacement, QueryField, Seconds, all},
    visible,
};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, nullable, patch::Patch},
    listing::{ListOf, ListQuery},
    permit::{ManageUpstreams, ReadUpstreams, With},
    words::{Dialect, HeaderPolicy, PathStyle, Provider, Strategy},
};

/// A configured place to send calls.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Upstream {
    /// Its id.
    id: i64,
    /// Who made it.
    owner_id: i64,
    /// Its name in `/proxy/{name}/…` and in `name/model`.
    name: String,
    /// Whose API it has.
    provider: Provider,
    /// The preset on whose knowledge of models it stands; without one, that of its provider.
    preset: Option<String>,
    /// Where it is.
    base_url: String,
    /// How paths are joined to the base URL.
    paths: PathStyle,
    /// What every call on a model route has in its query beside the client's own fields.
    query: Vec<QueryField>,
    /// The dialects that it speaks.
    dialects: Vec<Dialect>,
    /// The models it serves; empty means any.
    models: Vec<String>,
    /// Whether it is in use.
    enabled: bool,
    /// How a key of the pool is chosen.
    strategy: Strategy,
    /// How many attempts may follow the first.
    retry_count: u32,
    /// Seconds to the first byte of the answer.
    timeout: Seconds,
    /// Seconds to a ready connection.
    connect_timeout: Seconds,
    /// Seconds between two bytes of the answer.
    idle_timeout: Seconds,
    /// Seconds for all attempts and the whole answer.
    total_timeout: Seconds,
    /// Where the provider key goes: `bearer`, `header:NAME` or `query:NAME`.
    key_placement: KeyPlacement,
    /// Which of a client's headers reach the provider.
    header_policy: HeaderPolicy,
    /// Steps after the header policy.
    header_rules: Vec<HeaderRule>,
    /// Whether request and answer bodies are recorded (capped and masked).
    record_bodies: bool,
    /// What is known of its models; it wins over what the preset knows.
    model_profiles: Vec<ProfileRule>,
    /// Whether streams of Chat Completions are asked for their usage although the client did not;
    /// the event with it is then kept from the client.
    ask_usage: bool,
    /// How its pool is used.
    policy: Policy,
    /// Its health now; `null` in lists and where no data plane runs here.
    health: Option<Health>,
    /// How many provider keys its pool holds.
    key_count: u64,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

/// An upstream to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "openai", "base_url": "https://api.openai.com", "timeout": 60, "retry_count": 2,
}))]
pub(crate) struct NewUpstream {
    /// 1 to 64 of a-z, 0-9, `.`, `_`, `-`; unique.
    name: String,
    /// One of `GET /api/admin/presets`: it says what is not given here.
    preset: Option<String>,
    /// `https`, unless the configuration opens the target for plain `http`. Needed unless the
    /// preset knows it.
    base_url: Option<String>,
    /// Follows from the host of the address when not given.
    provider: Option<Provider>,
    /// Follow from the provider when not given.
    dialects: Option<Vec<Dialect>>,
    /// The models that it serves; empty means any.
    #[serde(default)]
    models: Vec<String>,
    /// Whether it is in use; true when not given.
    enabled: Option<bool>,
    /// How a key of the pool is chosen; `round_robin` when not given.
    strategy: Option<Strategy>,
    /// How many attempts may follow the first.
    retry_count: Option<u32>,
    /// Seconds to the first byte of the answer.
    timeout: Option<Seconds>,
    /// Seconds to a ready connection.
    connect_timeout: Option<Seconds>,
    /// Seconds between two bytes of the answer.
    idle_timeout: Option<Seconds>,
    /// Seconds for all attempts and the whole answer.
    total_timeout: Option<Seconds>,
    /// Where the provider key goes: `bearer`, `header:NAME` or `query:NAME`. Follows from the
    /// provider when not given.
    key_placement: Option<KeyPlacement>,
    /// Which of a client's headers reach the provider; `hide` when not given.
    header_policy: Option<HeaderPolicy>,
    /// Steps after the header policy.
    header_rules: Option<Vec<HeaderRule>>,
    /// Whether request and answer bodies are recorded (capped and masked).
    #[serde(default)]
    record_bodies: bool,
    /// How paths are joined to the base URL.
    paths: Option<PathStyle>,
    /// At most 16.
    query: Option<Vec<QueryField>>,
    /// At most 256.
    #[serde(default)]
    model_profiles: Vec<ProfileRule>,
    /// True when not given, unless the preset knows better.
    ask_usage: Option<bool>,
    /// How its pool is used.
    policy: Option<EditPolicy>,
}

/// What to change of an upstream, as a JSON merge patch (RFC 7396): what is not given stays, in
/// `policy` and its parts too; `null` puts a field back to what it is usually.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"timeout": 30, "policy": {"queue_timeout": 5}}))]
pub(crate) struct EditUpstream {
    /// Another name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`; unique.
    name: Option<String>,
    /// Provider keys only go where they were entered: another scheme, host or port is refused
    /// while the pool holds keys, unless `clear_keys` is set.
    base_url: Option<String>,
    /// Deletes every key of the pool when the new address needs that.
    #[serde(default)]
    clear_keys: bool,
    /// Whose API it has.
    provider: Option<Provider>,
    /// The dialects that it speaks.
    dialects: Option<Vec<Dialect>>,
    /// The models that it serves; empty means any.
    models: Option<Vec<String>>,
    /// Whether it is in use.
    enabled: Option<bool>,
    /// How a key of the pool is chosen.
    strategy: Option<Strategy>,
    /// How many attempts may follow the first.
    retry_count: Option<u32>,
    /// Seconds to the first byte of the answer.
    timeout: Option<Seconds>,
    /// Seconds to a ready connection.
    connect_timeout: Option<Seconds>,
    /// Seconds between two bytes of the answer.
    idle_timeout: Option<Seconds>,
    /// Seconds for all attempts and the whole answer.
    total_timeout: Option<Seconds>,
    /// Where the provider key goes: `bearer`, `header:NAME` or `query:NAME`.
    key_placement: Option<KeyPlacement>,
    /// Which of a client's headers reach the provider.
    header_policy: Option<HeaderPolicy>,
    /// All steps after the header policy anew.
    header_rules: Option<Vec<HeaderRule>>,
    /// Whether request and answer bodies are recorded (capped and masked).
    record_bodies: Option<bool>,
    /// Only what is known of models follows from it; `null` forgets it.
    #[serde(default, deserialize_with = "nullable")]
    #[schema(value_type = Option<String>)]
    preset: Option<Option<String>>,
    /// How paths are joined to the base URL.
    paths: Option<PathStyle>,
    /// All further fields of the query anew; at most 16.
    query: Option<Vec<QueryField>>,
    /// All that is known of its models anew; at most 256.
    model_profiles: Option<Vec<ProfileRule>>,
    /// Whether streams of Chat Completions are asked for their usage although the client did not.
    ask_usage: Option<bool>,
    /// How its pool is used; only what it names changes.
    policy: Option<EditPolicy>,
}

/// Upstreams, a page at a time.
#[utoipa::path(get, path = "/api/admin/upstreams", tag = "upstreams", params(ListQuery),
    responses((status = 200, description = "A page of upstreams", body = ListOf<Upstream>)))]
pub(crate) async fn list_upstreams(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<ListQuery>,
) -> Result<Answer<ListOf<Upstream>>, ApiError> {
    let page = app.store.upstreams(query.page(actor.confined_to())?).await?;
    Ok(Answer(ListOf::of(page, Upstream::from)))
}

/// Make an upstream. The data plane serves it within a second.
#[utoipa::path(post, path = "/api/admin/upstreams", tag = "upstreams", request_body = NewUpstream,
    responses((status = 201, description = "The upstream was created", body = Upstream)))]
pub(crate) async fn create_upstream(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Json(new): Json<NewUpstream>,
) -> Result<Created<Upstream>, ApiError> {
    app.try_script(new.policy.as_ref().and_then(EditPolicy::script))?;
    let id = app.store.create_upstream(&actor, new.into()).await?;
    let made = app.store.upstream(id).await?.into();
    Ok(Created::at(format!("/api/admin/upstreams/{id}"), made))
}

/// One upstream.
#[utoipa::path(get, path = "/api/admin/upstreams/{id}", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    responses((status = 200, description = "The upstream", body = Upstream)))]
pub(crate) async fn read_upstream(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Upstream>, ApiError> {
    let row = app.store.upstream(UpstreamId(id)).await?;
    let mut shown = Upstream::from(visible(&actor, row.upstream.owner, "upstream", row)?);
    let report = app.live.as_ref().and_then(|live| live.upstream(UpstreamId(id)));
    shown.health = report.map(Into::into);
    Ok(Answer(shown))
}

/// Change an upstream. The data plane serves the change within a second.
#[utoipa::path(patch, path = "/api/admin/upstreams/{id}", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    request_body(content((EditUpstream = "application/json"), (EditUpstream = "application/merge-patch+json"))),
    responses((status = 200, description = "The upstream", body = Upstream)))]
pub(crate) async fn edit_upstream(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
    patch: Patch<EditUpstream>,
) -> Result<Answer<Upstream>, ApiError> {
    let id = UpstreamId(id);
    app.try_script(script(&patch))?;
    let edit = |now: &domain::Upstream| {
        let usual = usual(now, patch.get("provider"));
        let edit = patch.onto(&shown(now), &shown(&usual))?;
        Ok(edit.onto(now.timeouts, now.policy.clone()))
    };
    if_match.on(&app.store).edit_upstream(&actor, id, edit).await?;
    Ok(Answer(app.store.upstream(id).await?.into()))
}

/// Delete an upstream and its key pool. Refused while a route has it as a target.
#[utoipa::path(delete, path = "/api/admin/upstreams/{id}", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    responses((status = 204, description = "The upstream was deleted")))]
pub(crate) async fn delete_upstream(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    if_match: IfMatch,
) -> Result<StatusCode, ApiError> {
    if_match.on(&app.store).delete_upstream(&actor, UpstreamId(id)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The script that a patch brings, if it does.
fn script(patch: &Patch<EditUpstream>) -> Option<HeaderScript> {
    let source = patch.get("policy")?.get("header_script")?.get("source")?.as_str()?.to_owned();
    Some(HeaderScript { source, on_error: ScriptError::default() })
}

/// An upstream as a patch sees it.
fn shown(upstream: &domain::Upstream) -> Upstream {
    let time = DateTime::UNIX_EPOCH;
    UpstreamRow { upstream: upstream.clone(), keys: 0, created_at: time, updated_at: time }.into()
}

/// An upstream in this one's place of which nothing else was said; `provider` is what a patch says
/// of its provider.
fn usual(now: &domain::Upstream, provider: Option<&Value>) -> domain::Upstream {
    let (name, base_url) = (now.name.clone(), now.base_url.clone());
    let mut usual = domain::Upstream::new(now.id, now.owner, name, base_url);
    let provider = match provider {
        Some(Value::Null) => usual.provider,
        Some(named) => Provider::deserialize(named).map_or(now.provider, Into::into),
        None => now.provider,
    };
    usual.dialects = provider.dialects();
    usual.key_placement = provider.key_placement();
    usual
}

impl From<UpstreamRow> for Upstream {
    fn from(row: UpstreamRow) -> Self {
        let upstream = row.upstream;
        Self {
            id: upstream.id.0,
            owner_id: upstream.owner.0,
            name: upstream.name,
            provider: upstream.provider.into(),
            preset: upstream.preset,
            base_url: upstream.base_url.to_string(),
            paths: upstream.paths.into(),
            query: all(upstream.query),
            dialects: all(upstream.dialects),
            models: upstream.models,
            enabled: upstream.enabled,
            strategy: upstream.strategy.into(),
            retry_count: upstream.retry_count,
            timeout: Seconds(upstream.timeouts.first_byte),
            connect_timeout: Seconds(upstream.timeouts.connect),
            idle_timeout: Seconds(upstream.timeouts.idle),
            total_timeout: Seconds(upstream.timeouts.total),
            key_placement: KeyPlacement(upstream.key_placement),
            header_policy: upstream.header_policy.into(),
            header_rules: all(upstream.header_rules),
            record_bodies: upstream.record_bodies,
            model_profiles: all(upstream.model_profiles),
            ask_usage: upstream.ask_usage,
            policy: upstream.policy.into(),
            health: None,
            key_count: row.keys,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl Input for NewUpstream {
    fn faults(&self) -> Faults {
        let preset = self.preset.as_deref().map(domain::Preset::named);
        let known = preset.as_ref().and_then(|preset| preset.as_ref().ok());
        let known = known.filter(|preset| preset.has_address());
        let base_url = self.base_url.as_deref().or(known.map(|preset| preset.base_url.as_str()));
        let mut faults = judged(base_url.unwrap_or(NOWHERE), |upstream| {
            upstream.name.clone_from(&self.name);
            upstream.models.clone_from(&self.models);
            upstream.retry_count = self.retry_count.unwrap_or(upstream.retry_count);
            upstream.timeouts = timeouts(
                upstream.timeouts,
                [self.connect_timeout, self.timeout, self.idle_timeout, self.total_timeout],
            );
            upstream.header_rules = all(self.header_rules.clone().unwrap_or_default());
            upstream.query = all(self.query.clone().unwrap_or_default());
            upstream.model_profiles = all(self.model_profiles.clone());
            upstream.policy = self.policy.clone().unwrap_or_default().onto(PoolPolicy::default());
        });
        if base_url.is_none() {
            faults.add("base_url", "is required, unless a preset knows it");
        }
        faults.0.extend(preset.and_then(Result::err));
        faults
    }
}

impl Input for EditUpstream {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["preset"]);
    const REQUIRED: &'static [&'static str] = &["name", "base_url"];
    const PARTS: &'static [&'static str] = &["policy"];

    fn faults(&self) -> Faults {
        let preset = self.preset.iter().flatten().next().map(|id| domain::Preset::named(id));
        let mut faults = judged(self.base_url.as_deref().unwrap_or(NOWHERE), |upstream| {
            upstream.name = self.name.clone().unwrap_or_else(|| upstream.name.clone());
            upstream.models = self.models.clone().unwrap_or_default();
            upstream.retry_count = self.retry_count.unwrap_or(upstream.retry_count);
            upstream.timeouts = timeouts(
                upstream.timeouts,
                [self.connect_timeout, self.timeout, self.idle_timeout, self.total_timeout],
            );
            upstream.header_rules = all(self.header_rules.clone().unwrap_or_default());
            upstream.query = all(self.query.clone().unwrap_or_default());
            upstream.model_profiles = all(self.model_profiles.clone().unwrap_or_default());
            upstream.policy = self.policy.clone().unwrap_or_default().onto(PoolPolicy::default());
        });
        faults.0.extend(preset.and_then(Result::err));
        faults
    }
}

/// An address that is good in form.
const NOWHERE: &str = "https://nowhere.example";

/// What is wrong with an upstream at `base_url` to which `told` was done.
fn judged(base_url: &str, told: impl FnOnce(&mut domain::Upstream)) -> Faults {
    let mut faults = Faults::default();
    let nowhere = || BaseUrl::parse(NOWHERE).expect("its form is good");
    let base_url = BaseUrl::parse(base_url).unwrap_or_else(|message| {
        faults.add("base_url", message);
        nowhere()
    });
    let mut upstream = domain::Upstream::new(UpstreamId(0), UserId(0), "name", base_url);
    told(&mut upstream);
    faults.0.extend(upstream.faults().0);
    faults
}

/// `usual` with what was given instead: connect, first byte, idle, total.
fn timeouts(usual: Timeouts, given: [Option<Seconds>; 4]) -> Timeouts {
    let [connect, first_byte, idle, total] = given.map(|seconds| seconds.map(|s| s.0));
    Timeouts {
        connect: connect.unwrap_or(usual.connect),
        first_byte: first_byte.unwrap_or(usual.first_byte),
        idle: idle.unwrap_or(usual.idle),
        total: total.unwrap_or(usual.total),
    }
}

impl From<NewUpstream> for store::NewUpstream {
    fn from(new: NewUpstream) -> Self {
        let given = [new.connect_timeout, new.timeout, new.idle_timeout, new.total_timeout];
        Self {
            name: new.name,
            preset: new.preset,
            base_url: new.base_url,
            provider: new.provider.map(Into::into),
            dialects: new.dialects.map(all),
            models: new.models,
            enabled: new.enabled,
            strategy: new.strategy.map(Into::into),
            retry_count: new.retry_count,
            timeouts: Some(timeouts(Timeouts::default(), given)),
            key_placement: new.key_placement.map(|placement| placement.0),
            header_policy: new.header_policy.map(Into::into),
            header_rules: new.header_rules.map(all),
            record_bodies: new.record_bodies,
            paths: new.paths.map(Into::into),
            query: new.query.map(all),
            model_profiles: all(new.model_profiles),
            ask_usage: new.ask_usage,
            policy: new.policy.map(|policy| policy.onto(PoolPolicy::default())),
            owner: None,
        }
    }
}

impl EditUpstream {
    /// The edit of an upstream that has these timeouts and this policy: each is stored as one.
    fn onto(self, now: Timeouts, policy_now: PoolPolicy) -> store::UpstreamEdit {
        let given = [self.connect_timeout, self.timeout, self.idle_timeout, self.total_timeout];
        let timeouts = timeouts(now, given);
        store::UpstreamEdit {
            name: self.name,
            base_url: self.base_url,
            clear_keys: self.clear_keys,
            provider: self.provider.map(Into::into),
            dialects: self.dialects.map(all),
            models: self.models,
            enabled: self.enabled,
            strategy: self.strategy.map(Into::into),
            retry_count: self.retry_count,
            timeouts: (timeouts != now).then_some(timeouts),
            key_placement: self.key_placement.map(|placement| placement.0),
            header_policy: self.header_policy.map(Into::into),
            header_rules: self.header_rules.map(all),
            record_bodies: self.record_bodies,
            preset: self.preset,
            paths: self.paths.map(Into::into),
            query: self.query.map(all),
            model_profiles: self.model_profiles.map(all),
            ask_usage: self.ask_usage,
            policy: self.policy.map(|policy| policy.onto(policy_now)),
        }
    }
}
