//! The description of the API: made from the handlers, kept as a snapshot by a test. What all
//! operations have in common is added here once.

mod bounds;
mod examples;
mod refusals;
mod shapes;

use serde_json::Value;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, ContactBuilder, LicenseBuilder,
        security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};

use crate::render::Failure;

/// The head of the description: title, security schemes, tags.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate management API",
        description = "Upstreams, keys, routes, the request log and the dashboard of the gateway. \
            Sign in with `POST /api/auth/login` and send the access token as `Authorization: Bearer`. \
            Every refusal is a problem of RFC 9457 (`Failure`); match on its `error.code`, a word of `ErrorCode`. The body of a `PATCH` is a JSON \
            merge patch (RFC 7396): what it does not name stays, in objects too; `null` resets a field \
            to its default; a list replaces the whole list. Money is in dollars as \
            decimal text (`\"0.0125\"`), exact to the billionth; requests may also have \
            numbers. Answers to `GET` carry an `ETag`: with `If-None-Match` an unchanged answer is \
            a 304 without a body, and with `If-Match` a change of an outdated version is a 412. \
            `GET /api/admin/live` is a WebSocket: `docs/ACCOUNTING.md` describes its messages.",
    ),
    components(schemas(Failure)),
    security(("access_token" = [])),
    modifiers(&SecuritySchemes),
    tags(
        (name = "sign-in", description = "Sessions of administrators"),
        (name = "users", description = "People and programs that use this API"),
        (name = "roles", description = "What users may do"),
        (name = "upstreams", description = "Configured places to send calls"),
        (name = "provider keys", description = "Secrets that providers gave us"),
        (name = "service keys", description = "Secrets that we give to callers"),
        (name = "routes", description = "Model names and their targets"),
        (name = "rules", description = "Actions on provider answers that meet conditions"),
        (name = "limits", description = "Rate limits, quotas and budgets of callers"),
        (name = "logs", description = "The request log"),
        (name = "audit", description = "Who did what, and what was refused"),
        (name = "alerts", description = "Events that need attention"),
        (name = "tasks", description = "Scheduled tasks"),
        (name = "dashboard", description = "Figures for the dashboard"),
        (name = "health", description = "Liveness and readiness"),
    )
)]
pub(crate) struct Head;

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let components = document.components.get_or_insert_with(Default::default);
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        components.add_security_scheme("access_token", SecurityScheme::Http(bearer));
        let cookie = ApiKey::Cookie(ApiKeyValue::new("__Host-tollgate-refresh"));
        components.add_security_scheme("refresh_cookie", SecurityScheme::ApiKey(cookie));
        document.info.contact = None::<ContactBuilder>.map(ContactBuilder::build);
        document.info.license = Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        );
    }
}

/// The description that was made from the handlers, with what all operations have in common.
pub(crate) fn finished(made: &openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(made).expect("descriptions are plain values");
    shapes::mend(&mut document);
    bounds::add(&mut document);
    refusals::describe(&mut document);
    examples::add(&mut document);
    document
}
