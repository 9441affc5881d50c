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

use crate::{render::Failure, router};

/// What stands above the list of paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollgate management API",
        description = "Upstreams, keys, routes, the request log and the dashboard of the gateway. \
            Sign in with `POST /api/auth/login` and send the access token as `Authorization: Bearer`. \
            Every refusal has one shape, `Failure`; match on its `code`. The body of a `PATCH` is a JSON \
            merge patch (RFC 7396): what it does not name stays, in objects too; `null` puts a field back \
            to what it is usually; a list takes the place of the whole list. Money is in dollars as \
            decimal text (`\"0.0125\"`), exact to the billionth; where money is sent, numbers are taken \
            too. Answers to `GET` carry an `ETag`: with `If-None-Match` an answer that has not changed is \
            a 304 without a body, and with `If-Match` a change of what was changed meanwhile is a 412.",
    ),
    components(schemas(Failure)),
    security(("access_token" = [])),
    modifiers(&SecuritySchemes),
    tags(
        (name = "sign-in", description = "Sessions of people"),
        (name = "upstreams", description = "Configured places to send calls"),
        (name = "provider keys", description = "Secrets that providers gave us"),
        (name = "service keys", description = "Secrets that we give to callers"),
        (name = "routes", description = "Model names and who could answer them"),
        (name = "rules", description = "What is to happen when calls meet conditions"),
        (name = "limits", description = "How much callers may use"),
        (name = "logs", description = "What each admitted call did"),
        (name = "alerts", description = "What a person should look at"),
        (name = "tasks", description = "What the gateway does by the clock"),
        (name = "dashboard", description = "Numbers"),
        (name = "health", description = "For whoever starts, balances and watches"),
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

/// The description of everything that the management plane answers.
pub fn document() -> Value {
    finished(&router::described().1)
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
