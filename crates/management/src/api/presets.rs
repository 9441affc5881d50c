//! `/api/admin/presets`: vendors and servers that upstreams can be made from.

use axum::Json as Answer;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    profiles::ProfileRule,
    values::{HeaderRule, KeyPlacement, QueryField, all},
};
use crate::{
    error::ApiError,
    listing::ListOf,
    permit::{ReadUpstreams, With},
    words::{Dialect, PathStyle, Provider, Work},
};

/// What upstreams of a vendor, or of a kind of server, begin with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Preset {
    /// By which a new upstream names it.
    id: &'static str,
    /// What people call it.
    name: &'static str,
    /// Whose API it has.
    provider: Provider,
    /// Where it is. A part in braces differs from customer to customer: then a new upstream must
    /// give its own `base_url`.
    base_url: &'static str,
    /// The vendor's page that this follows.
    docs: &'static str,
    /// The dialects that it speaks.
    dialects: Vec<Dialect>,
    /// Where the provider key goes.
    key_placement: KeyPlacement,
    /// How paths are joined to the base URL.
    paths: PathStyle,
    /// What every call on a model route has in its query beside the client's own fields.
    query: Vec<QueryField>,
    /// Steps after the header policy.
    header_rules: Vec<HeaderRule>,
    /// Whether streams of Chat Completions are asked for their usage although the client did not.
    ask_usage: bool,
    /// Another preset whose models are served here too.
    models_of: Option<&'static str>,
    /// What is known of its models.
    model_profiles: Vec<ProfileRule>,
    /// What calls ask for, as far as that decides how they are billed; the first row that fits
    /// decides, and then rows that are the same for every provider.
    endpoints: Vec<EndpointRule>,
}

/// What calls with one of these methods to such paths ask for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EndpointRule {
    /// The HTTP methods.
    methods: Vec<String>,
    /// The path without its query; `*` stands for any characters.
    path: String,
    /// What such a call asks for.
    work: Work,
}

/// All presets, on one page.
#[utoipa::path(get, path = "/api/admin/presets", tag = "upstreams",
    responses((status = 200, description = "A page of presets", body = ListOf<Preset>)))]
pub(crate) async fn list_presets(
    _: With<ReadUpstreams>,
) -> Result<Answer<ListOf<Preset>>, ApiError> {
    let items = domain::Preset::all().iter().map(Preset::from).collect();
    Ok(Answer(ListOf { items, next_cursor: None }))
}

impl From<&'static domain::Preset> for Preset {
    fn from(preset: &'static domain::Preset) -> Self {
        Self {
            id: &preset.id,
            name: &preset.name,
            provider: preset.provider().into(),
            base_url: &preset.base_url,
            docs: &preset.docs,
            dialects: all(preset.dialects.clone()),
            key_placement: KeyPlacement(preset.key_placement.clone()),
            paths: preset.paths.into(),
            query: all(preset.query.clone()),
            header_rules: all(preset.header_rules.clone()),
            ask_usage: preset.ask_usage,
            models_of: preset.models_of.as_deref(),
            model_profiles: all(preset.model_profiles.clone()),
            endpoints: all(preset.endpoints.clone()),
        }
    }
}

impl From<domain::EndpointRule> for EndpointRule {
    fn from(rule: domain::EndpointRule) -> Self {
        Self { methods: rule.methods, path: rule.path, work: rule.work.into() }
    }
}
