//! How an upstream fares, and what a header script would do for it: asked of the data plane.

use std::collections::BTreeMap;

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Utc};
use domain::{
    Faults,
    live::{ScriptAsk, UpstreamReport},
    matching::{is_header_name, is_token},
    policy,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    api::{
        provider_keys::{Breaker, rate},
        values::milliseconds,
    },
    app::Management,
    error::ApiError,
    input::{Id, Input, Json},
    permit::{ManageUpstreams, With},
    render::Failure,
};

/// How an upstream fares.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpstreamHealth)]
pub(crate) struct Health {
    /// Until when it rests, where it does.
    rests_until: Option<DateTime<Utc>>,
    /// Why it rests.
    reason: Option<String>,
    /// Its circuit breakers that are not closed.
    breakers: Vec<ModelBreaker>,
    /// Calls that it answers now.
    in_flight: u32,
    /// Number of calls in its queue.
    waiting: u32,
    /// Which part of its last calls was answered, 0 to 1.
    success_rate: Option<f64>,
    /// The moving average of its time to the first byte.
    latency_ms: Option<f64>,
    /// Idle connections that are kept to it.
    idle_connections: u32,
    /// How many of its keys stand how.
    keys: BTreeMap<&'static str, u64>,
}

/// A circuit breaker of an upstream.
#[derive(Debug, Serialize, ToSchema)]
struct ModelBreaker {
    /// `null` for all models.
    model: Option<String>,
    #[serde(flatten)]
    breaker: Breaker,
}

impl From<UpstreamReport> for Health {
    fn from(report: UpstreamReport) -> Self {
        let (rests_until, reason) = report.rests.unzip();
        let breakers = report.breakers.into_iter();
        Self {
            rests_until,
            reason,
            breakers: breakers
                .map(|(model, state)| ModelBreaker { model, breaker: state.into() })
                .collect(),
            in_flight: report.in_flight,
            waiting: report.waiting,
            success_rate: report.success_permille.map(rate),
            latency_ms: report.latency.map(milliseconds),
            idle_connections: report.idle_connections,
            keys: report.keys.into_iter().collect(),
        }
    }
}

/// A request that a header script is asked about.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"method": "POST", "path": "/v1/chat/completions"}))]
pub(crate) struct TestScript {
    /// The script; that of the upstream where none is given.
    source: Option<String>,
    /// The method of the request; `POST` when not given.
    #[serde(default = "post")]
    #[schema(default = "POST")]
    method: String,
    /// The path at the provider.
    path: String,
    /// The header lines as they would go out.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The key that would be used.
    key: Option<ScriptKey>,
}

/// What a script is told of a key.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScriptKey {
    /// The id of the provider key.
    id: Option<i64>,
    /// The name of the provider key.
    name: Option<String>,
    /// The quota group of the provider key.
    quota_group: Option<String>,
}

fn post() -> String {
    "POST".to_owned()
}

impl Input for TestScript {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        let is_method = (1..=32).contains(&self.method.len()) && self.method.bytes().all(is_token);
        if !is_method {
            faults.add("method", "must be an HTTP method such as POST");
        }
        let odd = |c: char| c.is_whitespace() || c.is_control();
        if !self.path.starts_with('/') || self.path.contains(odd) {
            faults.add("path", "must begin with / and hold no blanks and control characters");
        }
        if !self.headers.keys().all(|name| is_header_name(name)) {
            faults.add("headers", "each must have the name of a header");
        } else if self.headers.values().any(|value| value.contains(char::is_control)) {
            faults.add("headers", "values must not hold control characters");
        }
        faults
    }
}

/// What a header script would do.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScriptTest {
    /// Headers that it sets.
    set: BTreeMap<String, String>,
    /// Headers that it removes.
    remove: Vec<String>,
    /// Why it failed, where it did.
    error: Option<String>,
}

/// Run a header script on a request that is not sent.
#[utoipa::path(post, path = "/api/admin/upstreams/{id}/script-test", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    request_body = TestScript,
    responses((status = 200, description = "What the script did", body = ScriptTest),
        (status = 503, description = "No data plane runs in this process, or the database is not available", body = Failure)))]
pub(crate) async fn test_script(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
    Json(test): Json<TestScript>,
) -> Result<Answer<ScriptTest>, ApiError> {
    test.faults().none_or(()).map_err(ApiError::Invalid)?;
    let upstream: domain::Upstream = app.get(&actor, id).await?.value;
    let on_error = policy::ScriptError::default();
    let given = test.source.clone().map(|source| policy::HeaderScript { source, on_error });
    let script = given.or(upstream.policy.header_script);
    let script = script.ok_or_else(|| ApiError::field("source", "the upstream has no script"))?;
    if script.source.len() > domain::policy::HeaderScript::SOURCE_MAX {
        return Err(ApiError::field("source", "must be at most 16384 bytes"));
    }
    let done = app.data_plane()?.run_script(&script, &test.ask());
    Ok(Answer(match done {
        Ok(done) => {
            ScriptTest { set: done.set.into_iter().collect(), remove: done.remove, error: None }
        }
        Err(words) => ScriptTest { set: BTreeMap::new(), remove: Vec::new(), error: Some(words) },
    }))
}

impl TestScript {
    fn ask(self) -> ScriptAsk {
        let key = self.key.map(|key| (key.id, key.name, key.quota_group));
        let (key_id, key_name, key_group) = key.unwrap_or_default();
        ScriptAsk {
            method: self.method,
            path: self.path,
            headers: self.headers.into_iter().collect(),
            key_id,
            key_name,
            key_group,
            now_ms: Utc::now().timestamp_millis(),
        }
    }
}

impl Management {
    /// Whether a script that is to be stored runs at all, as far as there is somebody to try it.
    pub(super) fn try_script(&self, script: Option<policy::HeaderScript>) -> Result<(), ApiError> {
        let (Some(live), Some(script)) = (&self.live, script) else { return Ok(()) };
        let ask = ScriptAsk {
            method: post(),
            path: "/v1/chat/completions".to_owned(),
            key_id: Some(1),
            key_name: Some("key".to_owned()),
            now_ms: Utc::now().timestamp_millis(),
            ..ScriptAsk::default()
        };
        let done = live.run_script(&script, &ask).map(drop);
        done.map_err(|words| ApiError::field("policy.header_script.source", words))
    }
}
