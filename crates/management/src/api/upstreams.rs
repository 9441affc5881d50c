//! `/api/admin/upstreams`

mod live;
mod models;
mod policy;

pub(crate) use live::*;
pub(crate) use models::*;
use policy::{EditPolicy, Policy};

use std::mem;

use axum::{Json as Answer, extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use domain::{
    BaseUrl, Fault, Faults, UpstreamId, UserId,
    policy::{HeaderScript, ScriptError},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{EditOptions, Stored};
use utoipa::ToSchema;

use super::{
    Created,
    profiles::ProfileRule,
    values::{HeaderRule, KeyPlacement, QueryField, Seconds},
};
use crate::{
    app::Management,
    error::ApiError,
    etags::IfMatch,
    input::{Id, Input, Json, Query, nullable, patch::Patch},
    listing::{ListOf, PageQuery, TaggedQuery},
    permit::{ManageUpstreams, ReadUpstreams, With},
    resource::{bodies, fields, set, version},
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
    /// Labels by which people find it.
    tags: Vec<String>,
    /// Its health now; `null` in lists and where no data plane runs here.
    health: Option<Health>,
    /// How many provider keys its pool holds.
    key_count: u64,
    /// When it was created.
    created_at: DateTime<Utc>,
    /// When it was last changed.
    updated_at: DateTime<Utc>,
}

bodies! {
    /// An upstream to be made.
    #[schema(example = json!({
        "name": "openai", "base_url": "https://api.openai.com", "timeout": 60, "retry_count": 2,
    }))]
    new NewUpstream {
        /// 1 to 64 of a-z, 0-9, `.`, `_`, `-`; unique.
        name: String,
        /// One of `GET /api/admin/presets`: it says what is not given here.
        preset: Option<String>,
        /// `https`, unless the configuration opens the target for plain `http`. Needed unless the
        /// preset knows it.
        base_url: Option<String>,
    }

    /// What to change of an upstream, as a JSON merge patch (RFC 7396): what is not given stays, in
    /// `policy` and its parts too; `null` puts a field back to what it is usually.
    #[schema(example = json!({"timeout": 30, "policy": {"queue_timeout": 5}}))]
    edit EditUpstream {
        /// Another name: 1 to 64 of a-z, 0-9, `.`, `_`, `-`; unique.
        name: Option<String>,
        /// Provider keys only go where they were entered: another scheme, host or port is refused
        /// while the pool holds keys, unless `clear_keys` is set.
        base_url: Option<String>,
        /// Deletes every key of the pool when the new address needs that.
        #[serde(default)]
        clear_keys: bool,
        /// Only what is known of models follows from it; `null` forgets it.
        #[serde(default, deserialize_with = "nullable")]
        #[schema(value_type = Option<String>)]
        preset: Option<Option<String>>,
    }

    both {
        /// Whose API it has. Follows from the host of the address when nothing is said.
        provider: Provider,
        /// The dialects that it speaks. They follow from the provider when nothing is said.
        dialects: Vec<Dialect>,
        /// The models that it serves; empty means any.
        models: Vec<String>,
        /// Whether it is in use; it is when nothing is said.
        enabled: bool,
        /// How a key of the pool is chosen; `round_robin` when nothing is said.
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
        /// Where the provider key goes: `bearer`, `header:NAME` or `query:NAME`. Follows from the
        /// provider when nothing is said.
        key_placement: KeyPlacement,
        /// Which of a client's headers reach the provider; `hide` when nothing is said.
        header_policy: HeaderPolicy,
        /// Steps after the header policy, all of them.
        header_rules: Vec<HeaderRule>,
        /// Whether request and answer bodies are recorded (capped and masked).
        record_bodies: bool,
        /// How paths are joined to the base URL.
        paths: PathStyle,
        /// All further fields of the query; at most 16.
        query: Vec<QueryField>,
        /// All that is known of its models; at most 256.
        model_profiles: Vec<ProfileRule>,
        /// Whether streams of Chat Completions are asked for their usage although the client did not;
        /// true when nothing is said, unless the preset knows better.
        ask_usage: bool,
        /// How its pool is used; only what it names changes.
        policy: EditPolicy,
        /// Labels by which people find it, all of them: at most 16, each of 1 to 32 small letters,
        /// digits or any of `-_.:/`.
        tags: Vec<String>,
    }

    nullable {}
}

/// Upstreams, a page at a time.
#[utoipa::path(get, path = "/api/admin/upstreams", tag = "upstreams", params(TaggedQuery),
    responses((status = 200, description = "A page of upstreams", body = ListOf<Upstream>)))]
pub(crate) async fn list_upstreams(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<TaggedQuery>,
) -> Result<Answer<ListOf<Upstream>>, ApiError> {
    let (filter, page) = query.split()?;
    app.list(&actor, &filter, page).await
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
    let (fresh, faults, edit) = new.started();
    let edit = |upstream: &mut domain::Upstream| merged(faults, edit.apply(upstream));
    app.create(&actor, |id, owner| domain::Upstream { id, owner, ..fresh }, edit).await
}

/// One upstream.
#[utoipa::path(get, path = "/api/admin/upstreams/{id}", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    responses((status = 200, description = "The upstream", body = Upstream)))]
pub(crate) async fn read_upstream(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Upstream>, ApiError> {
    let mut shown = Upstream::from(app.get(&actor, id).await?);
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
    app.try_script(script(&patch))?;
    let edit = |now: &mut domain::Upstream| {
        let usual = usual(now, patch.get("provider"));
        let edit = patch.onto(&shown(now), &shown(&usual))?;
        let options = EditOptions::clear_keys(edit.clear_keys);
        edit.apply(now).map(|()| options)
    };
    let store = if_match.on(&app.store);
    Ok(Answer(store.edit_with(&actor, UpstreamId(id), edit).await?.into()))
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
    app.delete::<domain::Upstream>(&actor, &if_match, id).await
}

version!(UpstreamVersion of Upstream);

/// What an upstream was like after each of its changes, the newest first: of the last 365 days, those of deleted
/// ones too for who sees everything. A change of more than 1,000 at once leaves no version of each.
#[utoipa::path(get, path = "/api/admin/upstreams/{id}/history", tag = "upstreams",
    params(("id" = i64, Path, description = "The id of the upstream"), PageQuery),
    responses((status = 200, description = "A page of versions", body = ListOf<UpstreamVersion>)))]
pub(crate) async fn upstream_history(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    Query(query): Query<PageQuery>,
) -> Result<Answer<ListOf<UpstreamVersion>>, ApiError> {
    app.history::<domain::Upstream, _>(&actor, id, query).await
}

/// The script that a patch brings, if it does.
fn script(patch: &Patch<EditUpstream>) -> Option<HeaderScript> {
    let source = patch.get("policy")?.get("header_script")?.get("source")?.as_str()?.to_owned();
    Some(HeaderScript { source, on_error: ScriptError::default() })
}

/// An upstream as a patch sees it.
fn shown(upstream: &domain::Upstream) -> Upstream {
    Stored::new(upstream.clone()).into()
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

fields! {
    Upstream and EditUpstream of domain::Upstream;
    same { name, preset, models, enabled, retry_count, record_bodies, ask_usage, tags, }
    lists { query, dialects, header_rules, model_profiles, }
    words { strategy, header_policy, paths, }
    shown(row, upstream) {
        id: upstream.id.0,
        owner_id: upstream.owner.0,
        provider: upstream.provider.into(),
        base_url: upstream.base_url.to_string(),
        timeout: Seconds(upstream.timeouts.first_byte),
        connect_timeout: Seconds(upstream.timeouts.connect),
        idle_timeout: Seconds(upstream.timeouts.idle),
        total_timeout: Seconds(upstream.timeouts.total),
        key_placement: KeyPlacement(upstream.key_placement),
        policy: upstream.policy.into(),
        health: None,
        key_count: row.extra,
        created_at: row.created_at,
        updated_at: row.updated_at,
    }
}

impl NewUpstream {
    /// The upstream that it starts from, what is wrong with that, and what is said beyond it.
    fn started(self) -> (domain::Upstream, Faults, EditUpstream) {
        let ((name, preset, base_url), edit) = self.split();
        let mut faults = Faults::default();
        let preset = preset.and_then(|id| noted(&mut faults, domain::Preset::named(&id)));
        let known = preset.filter(|preset| preset.has_address());
        let base_url = base_url.as_deref().or(known.map(|preset| preset.base_url.as_str()));
        let parsed = match (base_url, preset) {
            (Some(text), _) => BaseUrl::parse(text),
            (None, Some(preset)) => Err(format!("is required, of the form {}", preset.base_url)),
            (None, None) => Err("is required, unless a preset knows it".to_owned()),
        };
        let base_url = parsed.unwrap_or_else(|words| {
            faults.add("base_url", words);
            nowhere()
        });
        let (id, owner) = (UpstreamId(0), UserId(0));
        let fresh = match preset {
            Some(preset) => preset.upstream(id, owner, name, base_url),
            None => domain::Upstream::new(id, owner, name, base_url),
        };
        (fresh, faults, edit)
    }
}

impl EditUpstream {
    /// Puts what is given in the place of what was.
    fn apply(mut self, upstream: &mut domain::Upstream) -> Result<(), Faults> {
        let mut faults = Faults::default();
        if let Some(text) = self.base_url.take() {
            let parsed = BaseUrl::parse(&text).map_err(|words| Fault::new("base_url", words));
            set(&mut upstream.base_url, noted(&mut faults, parsed));
        }
        if let Some(provider) = self.provider.take() {
            upstream.change_provider(provider.into());
        }
        self.apply_fields(upstream);
        set(&mut upstream.timeouts.first_byte, self.timeout.map(|time| time.0));
        set(&mut upstream.timeouts.connect, self.connect_timeout.map(|time| time.0));
        set(&mut upstream.timeouts.idle, self.idle_timeout.map(|time| time.0));
        set(&mut upstream.timeouts.total, self.total_timeout.map(|time| time.0));
        set(&mut upstream.key_placement, self.key_placement.map(|placement| placement.0));
        if let Some(policy) = self.policy {
            upstream.policy = policy.onto(mem::take(&mut upstream.policy));
        }
        faults.none_or(())
    }
}

impl Input for NewUpstream {
    fn faults(&self) -> Faults {
        let (mut upstream, faults, edit) = self.clone().started();
        judged(faults, edit, &mut upstream)
    }
}

impl Input for EditUpstream {
    const NULLABLE: Option<&'static [&'static str]> = Some(&["preset"]);
    const REQUIRED: &'static [&'static str] = &["name", "base_url"];
    const PARTS: &'static [&'static str] = &["policy"];

    fn faults(&self) -> Faults {
        let preset = self.preset.iter().flatten().next().map(|id| domain::Preset::named(id));
        let faults = Faults(preset.and_then(Result::err).into_iter().collect());
        let (id, owner) = (UpstreamId(0), UserId(0));
        let mut upstream = domain::Upstream::new(id, owner, "name", nowhere());
        judged(faults, self.clone(), &mut upstream)
    }
}

/// Stands for an address that cannot be read.
fn nowhere() -> BaseUrl {
    BaseUrl::parse("https://nowhere.example").expect("its form is good")
}

/// What is wrong with an upstream of which these faults are known when it is edited so.
fn judged(faults: Faults, edit: EditUpstream, upstream: &mut domain::Upstream) -> Faults {
    let mut faults = merged(faults, edit.apply(upstream)).err().unwrap_or_default();
    faults.0.extend(upstream.faults().0);
    faults
}

/// What was found first, and then.
fn merged(mut faults: Faults, then: Result<(), Faults>) -> Result<(), Faults> {
    faults.0.extend(then.err().unwrap_or_default().0);
    faults.none_or(())
}

fn noted<T>(faults: &mut Faults, read: Result<T, Fault>) -> Option<T> {
    read.map_err(|fault| faults.0.push(fault)).ok()
}
