//! Every route of the management plane. What stands under `/api/admin` is guarded twice: nobody
//! passes without a session, and no answer goes out for which no permission was asked.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{Extensions, HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, Version, header},
    middleware,
    routing::get,
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{DefaultPredicate, Predicate, SizeAbove},
    },
    set_header::SetResponseHeaderLayer,
};
use utoipa::{OpenApi, openapi};
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::{
    api::{
        account, agent_sessions, alerts, audit, auth, dashboard, health, home, limits, live, logs,
        presets, provider_keys, refused_keys, roles, route_test, routes, rules, service_keys,
        tasks, upstreams, user_sessions, users,
    },
    app::Management,
    error::ApiError,
    etags,
    openapi::{self as description, Head},
    permit, render,
};

/// Everything under `/api/admin`.
fn admin() -> OpenApiRouter<Management> {
    OpenApiRouter::new()
        .routes(routes!(upstreams::list_upstreams, upstreams::create_upstream))
        .routes(routes!(
            upstreams::read_upstream,
            upstreams::edit_upstream,
            upstreams::delete_upstream
        ))
        .routes(routes!(upstreams::upstream_history))
        .routes(routes!(upstreams::test_script))
        .routes(routes!(upstreams::list_provider_models))
        .routes(routes!(upstreams::adopt_provider_models))
        .routes(routes!(presets::list_presets))
        .routes(routes!(provider_keys::list_provider_keys, provider_keys::create_provider_key))
        .routes(routes!(provider_keys::import_provider_keys))
        .routes(routes!(provider_keys::export_provider_keys))
        .routes(routes!(provider_keys::change_many_keys))
        .routes(routes!(provider_keys::test_provider_key))
        .routes(routes!(provider_keys::list_key_transitions))
        .routes(routes!(provider_keys::provider_key_history))
        .routes(routes!(
            provider_keys::read_provider_key,
            provider_keys::edit_provider_key,
            provider_keys::delete_provider_key
        ))
        .routes(routes!(service_keys::list_service_keys, service_keys::create_service_key))
        .routes(routes!(
            service_keys::read_service_key,
            service_keys::edit_service_key,
            service_keys::delete_service_key
        ))
        .routes(routes!(service_keys::rotate_service_key))
        .routes(routes!(service_keys::service_key_history))
        .routes(routes!(routes::list_routes, routes::create_route))
        .routes(routes!(route_test::test_route))
        .routes(routes!(routes::read_route, routes::edit_route, routes::delete_route))
        .routes(routes!(routes::route_history))
        .routes(routes!(rules::list_rules, rules::create_rule))
        .routes(routes!(rules::read_rule, rules::edit_rule, rules::delete_rule))
        .routes(routes!(rules::rule_history))
        .routes(routes!(rules::ready::list_ready_made_rules))
        .routes(routes!(rules::past::test_rule))
        .routes(routes!(rules::past::test_stored_rule))
        .routes(routes!(rules::triggers::list_triggers_of_rule))
        .routes(routes!(rules::triggers::list_triggers))
        .routes(routes!(users::list_users, users::create_user))
        .routes(routes!(users::read_user, users::edit_user, users::delete_user))
        .routes(routes!(users::user_history))
        .routes(routes!(user_sessions::list_user_sessions, user_sessions::end_user_sessions))
        .routes(routes!(user_sessions::end_user_session))
        .routes(routes!(roles::list_roles, roles::create_role))
        .routes(routes!(roles::read_role, roles::edit_role, roles::delete_role))
        .routes(routes!(roles::role_history))
        .routes(routes!(roles::list_permissions))
        .routes(routes!(limits::list_limits, limits::create_limit))
        .routes(routes!(limits::read_limit, limits::edit_limit, limits::delete_limit))
        .routes(routes!(limits::limit_history))
        .routes(routes!(logs::list_logs))
        .routes(routes!(logs::read_log))
        .routes(routes!(logs::read_bodies))
        .routes(routes!(agent_sessions::list_agent_sessions))
        .routes(routes!(agent_sessions::read_agent_session))
        .routes(routes!(agent_sessions::list_calls_of_session))
        .routes(routes!(refused_keys::list_refused_keys))
        .routes(routes!(alerts::list_alerts))
        .routes(routes!(alerts::read_alert))
        .routes(routes!(alerts::acknowledge_alert))
        .routes(routes!(alerts::resolve_alert))
        .routes(routes!(tasks::list_tasks))
        .routes(routes!(tasks::run_task))
        .routes(routes!(audit::list_audit))
        .routes(routes!(audit::export::export_audit))
        .routes(routes!(dashboard::dashboard_stats))
}

/// Everything that anybody may ask.
fn open() -> OpenApiRouter<Management> {
    OpenApiRouter::new()
        .routes(routes!(auth::login))
        .routes(routes!(auth::setup))
        .routes(routes!(auth::refresh))
        .routes(routes!(auth::logout))
        .routes(routes!(auth::me, account::edit_me))
        .routes(routes!(account::change_password))
        .routes(routes!(account::list_sessions, account::end_other_sessions))
        .routes(routes!(account::end_session))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::healthz))
}

/// The routes, guarded by `app` where one is given, with their description.
pub(crate) fn described_with(app: Option<&Management>) -> (Router<Management>, openapi::OpenApi) {
    let mut admin = admin();
    if let Some(app) = app {
        admin = admin.route_layer(middleware::from_fn_with_state(app.clone(), permit::guard));
    }
    OpenApiRouter::with_openapi(Head::openapi()).merge(admin).merge(open()).split_for_parts()
}

/// The routes' description, without a plane behind it.
pub(crate) fn described() -> (Router<Management>, openapi::OpenApi) {
    described_with(None)
}

/// The description of everything that the management plane answers.
pub fn document() -> serde_json::Value {
    description::finished(&described().1)
}

/// The whole plane.
pub(crate) fn router(app: Management) -> Router {
    let (routes, document) = described_with(Some(&app));
    let document = Arc::new(description::finished(&document));
    let data_plane_port = app.settings.data_plane_port;
    let json = get(move || {
        let document = document.clone();
        async move { Json(document.as_ref().clone()) }
    });
    routes
        .route("/", get(home::home))
        .route("/api/admin/live", get(live::live_feed)) // it reads the token itself
        .route("/api/openapi.json", json)
        .merge(docs())
        .fallback(move |uri: Uri| async move { nothing_at(uri.path(), data_plane_port) })
        .layer(middleware::from_fn(etags::tag))
        .layer(DefaultBodyLimit::max(app.settings.body_limit))
        .layer(CatchPanicLayer::custom(render::panicked))
        .layer(middleware::from_fn_with_state(app.clone(), render::render))
        .layer(compression())
        .layer(middleware::map_response(etags::tell_coding))
        .layer(unless_set(header::CONTENT_SECURITY_POLICY, PAGE_POLICY))
        .layer(unless_set(header::CACHE_CONTROL, "no-store"))
        .layer(unless_set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(unless_set(header::REFERRER_POLICY, "no-referrer"))
        .layer(unless_set(header::X_FRAME_OPTIONS, "DENY"))
        .layer(unless_set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .layer(unless_set(HeaderName::from_static("cross-origin-resource-policy"), "same-origin"))
        .layer(unless_set(
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ))
        .with_state(app)
}

/// Nothing from elsewhere, no script in a page, no page in a frame.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'none'";

/// The pages that show the API set styles from their own script.
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pages at `/api/docs`, all from this binary.
fn docs() -> Router<Management> {
    let config = Config::from("/api/openapi.json").try_it_out_enabled(true).validator_url("none");
    let pages: Router<Management> = SwaggerUi::new("/api/docs").config(config).into();
    pages.layer(unless_set(header::CONTENT_SECURITY_POLICY, DOCS_POLICY))
}

/// Compresses larger answers, but for those that set cookies: their length must not tell anything
/// of the secrets in them.
fn compression() -> CompressionLayer<impl Predicate> {
    let open = |_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions| {
        !headers.contains_key(header::SET_COOKIE)
    };
    CompressionLayer::new()
        .compress_when(DefaultPredicate::new().and(SizeAbove::new(1024)).and(open))
}

fn unless_set(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// How the paths of calls to models begin.
const OF_DATA_PLANE: [&str; 9] =
    ["v1", "v1beta", "v1alpha", "proxy", "openai", "upload", "chat", "messages", "responses"];

/// What is told of a path at which nothing is.
fn nothing_at(path: &str, data_plane_port: Option<u16>) -> ApiError {
    let first = path.split('/').nth(1).unwrap_or_default();
    if OF_DATA_PLANE.contains(&first) {
        ApiError::DataPlanePath(data_plane_port)
    } else {
        ApiError::NoSuchPath
    }
}
