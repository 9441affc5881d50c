//! `/api/admin/rules/ready-made`: rules that have proved themselves, to be copied and changed.

use axum::{Json as Answer, extract::State};
use domain::{Upstream, rule::ReadyMade};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{NewRule, shape};
use crate::{
    api::values::{Seconds, all},
    app::Management,
    error::ApiError,
    input::Query,
    listing::ListOf,
    permit::{ReadUpstreams, With},
    render::Failure,
    words::Provider,
};

/// Which ready-made rules are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadyMadeQuery {
    /// Only those for upstreams of this provider, and those for all.
    #[param(inline)]
    provider: Option<Provider>,
    /// The upstream that the rules shall be of; none for those of all.
    upstream_id: Option<i64>,
}

/// A rule that can be made as it is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyMadeRule {
    /// For whose upstreams it is meant; `null` for all.
    provider: Option<Provider>,
    /// What it does, in a line.
    title: &'static str,
    /// What to send to `POST /api/admin/rules`.
    rule: NewRule,
}

/// All ready-made rules, on one page.
#[utoipa::path(get, path = "/api/admin/rules/ready-made", tag = "rules", params(ReadyMadeQuery),
    responses((status = 200, description = "A page of ready-made rules", body = ListOf<ReadyMadeRule>),
        (status = 404, description = "No such upstream", body = Failure)))]
pub(crate) async fn list_ready_made_rules(
    actor: With<ReadUpstreams>,
    State(app): State<Management>,
    Query(query): Query<ReadyMadeQuery>,
) -> Result<Answer<ListOf<ReadyMadeRule>>, ApiError> {
    if let Some(id) = query.upstream_id {
        app.get::<Upstream>(&actor, id).await?;
    }
    let wanted = query.provider.map(domain::Provider::from);
    let fits = |ready: &&ReadyMade| {
        wanted.is_none_or(|wanted| ready.provider.is_none_or(|provider| provider == wanted))
    };
    let ready = domain::Rule::ready_made().iter().filter(fits);
    let items = ready.map(|ready| shown(ready, query.upstream_id)).collect();
    Ok(Answer(ListOf { items, next_cursor: None }))
}

fn shown(ready: &'static ReadyMade, upstream_id: Option<i64>) -> ReadyMadeRule {
    let seconds = |seconds| Seconds(std::time::Duration::from_secs(seconds));
    ReadyMadeRule {
        provider: ready.provider.map(Into::into),
        title: &ready.title,
        rule: NewRule {
            upstream_id,
            name: ready.name.clone(),
            conditions: shape::shown(&ready.conditions),
            threshold: ready.threshold.map(Into::into),
            actions: all(ready.actions.clone()),
            auto_enable_delay_hours: None,
            auto_enable_delay_seconds: ready.lasts_seconds.map(seconds),
            cool_down_seconds: Some(seconds(ready.cool_down_seconds)),
            priority: None,
            stop: None,
            shadow: None,
            enabled: None,
        },
    }
}
