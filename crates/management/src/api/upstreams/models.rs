//! The models that the provider of an upstream lists itself, and taking them over as those that the
//! upstream serves. The data plane asks, with a key of the pool; the question costs nothing.

use std::time::Duration;

use axum::{Json as Answer, extract::State};
use domain::UpstreamId;
use serde::Serialize;
use utoipa::ToSchema;

use super::Upstream;
use crate::{
    app::Management,
    error::ApiError,
    input::Id,
    permit::{ManageUpstreams, With},
    render::Failure,
};

/// How long the provider may take; it is less than a request may.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a provider says of its models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProviderModels {
    /// Their names, in order; `null` where the provider did not list them.
    models: Option<Vec<String>>,
    /// Why the provider gave no list.
    message: Option<String>,
}

/// Ask the provider of an upstream which models it has.
#[utoipa::path(get, path = "/api/admin/upstreams/{id}/provider-models", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    responses((status = 200, description = "What the provider said", body = ProviderModels),
        (status = 503, description = "No data plane runs in this process, or the database is not available", body = Failure)))]
pub(crate) async fn list_provider_models(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<ProviderModels>, ApiError> {
    app.get::<domain::Upstream>(&actor, id).await?;
    Ok(Answer(match asked(&app, UpstreamId(id)).await? {
        Ok(models) => ProviderModels { models: Some(models), message: None },
        Err(words) => ProviderModels { models: None, message: Some(words) },
    }))
}

/// Take over the models that the provider lists: from then on the upstream serves these and no
/// others.
#[utoipa::path(post, path = "/api/admin/upstreams/{id}/adopt-models", tag = "upstreams", params(("id" = i64, Path, description = "The id of the upstream")),
    responses((status = 200, description = "The upstream with the models of its provider", body = Upstream),
        (status = 422, description = "The provider did not list its models; `fields` says why", body = Failure),
        (status = 503, description = "No data plane runs in this process, or the database is not available", body = Failure)))]
pub(crate) async fn adopt_provider_models(
    actor: With<ManageUpstreams>,
    State(app): State<Management>,
    Id(id): Id,
) -> Result<Answer<Upstream>, ApiError> {
    app.get::<domain::Upstream>(&actor, id).await?;
    let models =
        asked(&app, UpstreamId(id)).await?.map_err(|words| ApiError::field("models", words))?;
    if models.is_empty() {
        // An empty list would mean any model.
        return Err(ApiError::field("models", "the provider lists no models"));
    }
    let adopt = |upstream: &mut domain::Upstream| {
        upstream.models = models;
        Ok(())
    };
    Ok(Answer(app.store.edit(&actor, UpstreamId(id), adopt).await?.into()))
}

async fn asked(
    app: &Management,
    upstream: UpstreamId,
) -> Result<Result<Vec<String>, String>, ApiError> {
    let asked = app.data_plane()?.provider_models(upstream);
    tokio::time::timeout(PATIENCE, asked).await.map_err(|_| ApiError::TimedOut)
}
