//! `/api/admin/route-test`: where a call would go, without sending it.

use axum::{Json as Answer, extract::State};
use domain::{
    Faults, ServiceKey, ServiceKeyId,
    live::{RouteAsk, RouteRefused, RouteTarget, RouteTest},
    log::Considered,
    matching::is_header_name,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    app::Management,
    error::ApiError,
    input::{Input, Json},
    permit::{ReadUpstreams, With},
    render::Failure,
    words::Dialect,
};

/// A call that might be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"service_key_id": 1, "model": "fast", "dialect": "openai_chat"}))]
pub(crate) struct TestRoute {
    /// The service key that the call would be made with.
    service_key_id: i64,
    /// The model that would be asked for.
    model: String,
    /// `openai_chat` when not given.
    dialect: Option<Dialect>,
    /// For routes that look at them; at most 64.
    #[serde(default)]
    headers: Vec<TestHeader>,
    /// Calls with the same value belong together.
    session: Option<String>,
}

/// A header of a call that might be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestHeader {
    /// The name of the header.
    name: String,
    /// Its value.
    value: String,
}

/// Most headers of a call that might be made.
pub(crate) const HEADERS_MAX: usize = 64;

impl Input for TestRoute {
    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.headers.len() > HEADERS_MAX {
            faults.add("headers", format!("must be at most {HEADERS_MAX}"));
        }
        for (i, header) in self.headers.iter().enumerate().take(HEADERS_MAX) {
            if !is_header_name(&header.name) {
                faults.add(format!("headers[{i}].name"), "must be the name of a header");
            }
            if header.value.chars().any(char::is_control) {
                faults.add(format!("headers[{i}].value"), "must not hold control characters");
            }
        }
        faults
    }
}

/// Where a call would go, or why nowhere.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct RouteTested {
    /// Everything that was considered.
    considered: Vec<Candidate>,
    /// The targets in the order in which they would be asked.
    targets: Vec<TestedTarget>,
    /// What the client would be told where the call would go nowhere.
    refused: Option<Refused>,
}

/// One place that could answer.
#[derive(Debug, Serialize, ToSchema)]
struct Candidate {
    /// An upstream's name, with the model where that differs.
    candidate: String,
    /// Why it was passed over; `null` where it was kept.
    passed_over: Option<String>,
}

/// A target of a call that might be made.
#[derive(Debug, Serialize, ToSchema)]
struct TestedTarget {
    /// The upstream that would be asked.
    upstream_id: i64,
    /// The name of the upstream.
    upstream_name: String,
    /// The model that would be asked for there.
    model: Option<String>,
    /// The dialect into which the call is converted; `null` where it passes as it is.
    converted_to: Option<Dialect>,
    /// The key that would be used.
    key_id: Option<i64>,
    /// The name of the provider key.
    key_name: Option<String>,
    /// Why it could not be asked now, where that is so.
    passed_over: Option<String>,
}

/// What a client would be told.
#[derive(Debug, Serialize, ToSchema)]
struct Refused {
    /// The status that the client would get.
    status: u16,
    /// The stable code.
    code: &'static str,
    /// The same for people.
    message: String,
}

/// Say where a call would go, without sending it.
#[utoipa::path(post, path = "/api/admin/route-test", tag = "routes", request_body = TestRoute,
    responses((status = 200, description = "Where the call would go", body = RouteTested), (status = 404, description = "No such service key", body = Failure),
        (status = 503, description = "No data plane runs in this process, or the database is not available", body = Failure)))]
pub(crate) async fn test_route(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Json(test): Json<TestRoute>,
) -> Result<Answer<RouteTested>, ApiError> {
    test.faults().none_or(()).map_err(ApiError::Invalid)?;
    let service_key = ServiceKeyId(test.service_key_id);
    app.get::<ServiceKey>(&actor, service_key).await?;
    let ask = RouteAsk {
        service_key,
        model: test.model,
        dialect: test.dialect.map_or(domain::Dialect::OpenaiChat, Into::into),
        headers: test.headers.into_iter().map(|header| (header.name, header.value)).collect(),
        session: test.session,
    };
    Ok(Answer(match app.data_plane()?.route_test(&ask) {
        Ok(test) => test.into(),
        Err(refused) => RouteTested { refused: Some(refused.into()), ..RouteTested::default() },
    }))
}

impl From<RouteTest> for RouteTested {
    fn from(test: RouteTest) -> Self {
        Self {
            considered: test.considered.into_iter().map(Into::into).collect(),
            targets: test.targets.into_iter().map(Into::into).collect(),
            refused: None,
        }
    }
}

impl From<Considered> for Candidate {
    fn from(considered: Considered) -> Self {
        let Considered { candidate, passed_over } = considered;
        Self { candidate, passed_over }
    }
}

impl From<RouteTarget> for TestedTarget {
    fn from(target: RouteTarget) -> Self {
        Self {
            upstream_id: target.upstream.0,
            upstream_name: target.upstream_name,
            model: target.model,
            converted_to: target.converted_to.map(Into::into),
            key_id: target.key.map(|key| key.0),
            key_name: target.key_name,
            passed_over: target.passed_over,
        }
    }
}

impl From<RouteRefused> for Refused {
    fn from(refused: RouteRefused) -> Self {
        let RouteRefused { status, code, message } = refused;
        Self { status, code, message }
    }
}
