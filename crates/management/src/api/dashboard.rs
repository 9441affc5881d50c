//! `/api/admin/dashboard/stats`: what happened lately, in numbers.

use axum::{Json as Answer, extract::State};
use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use store::{Dashboard, TimeRange};
use utoipa::{IntoParams, ToSchema};

use super::money::Cost;
use crate::{
    app::Management,
    error::ApiError,
    input::Query,
    permit::{ReadStats, With},
};

/// What happened in a range of whole hours.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Stats {
    /// The first moment covered.
    from: DateTime<Utc>,
    /// The moment after the last.
    to: DateTime<Utc>,
    /// Everything together.
    totals: Totals,
    /// Half of the calls took at most this long, within a tenth.
    latency_p50_ms: Option<f64>,
    /// All but a twentieth of the calls took at most this long.
    latency_p95_ms: Option<f64>,
    /// The busiest first, as everywhere below.
    upstreams: Vec<Share>,
    /// The share of each provider key.
    provider_keys: Vec<Share>,
    /// The share of each service key.
    service_keys: Vec<Share>,
    /// The share of each model, as used.
    models: Vec<Share>,
    /// Hours without a call are left out.
    hours: Vec<Hour>,
    /// How many there are now.
    counts: Counts,
    /// The data plane, where it runs in this process.
    live: Option<LiveStats>,
}

/// Sums.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Totals {
    /// Calls.
    requests: u64,
    /// Calls that were not answered well.
    errors: u64,
    /// Of each hundred calls, those answered well; `null` without calls.
    success_percent: Option<f64>,
    /// Tokens that went in.
    input_tokens: u64,
    /// Part of `input_tokens`.
    cached_tokens: u64,
    /// Tokens that came out.
    output_tokens: u64,
    /// Part of `output_tokens`.
    reasoning_tokens: u64,
    /// What they cost in dollars, where a price was known.
    cost: Cost,
    /// The mean; `null` without calls.
    latency_ms: Option<f64>,
}

/// The share of one upstream, key or model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Share {
    /// Its id; `null` for models, and for calls that reached nobody.
    id: Option<i64>,
    /// Its name; of what was deleted, the last one. `null` for calls that reached nobody.
    name: Option<String>,
    #[serde(flatten)]
    totals: Totals,
}

/// One hour.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hour {
    /// When it began.
    at: DateTime<Utc>,
    #[serde(flatten)]
    totals: Totals,
}

/// How many there are now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// How many upstreams there are.
    upstreams: u64,
    /// How many service keys there are.
    service_keys: u64,
    /// How many provider keys there are, by state.
    provider_keys: KeyCounts,
}

/// Provider keys by state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeyCounts {
    /// In use.
    active: u64,
    /// Switched off by a person.
    disabled_manual: u64,
    /// Given up.
    banned: u64,
}

/// The running data plane.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LiveStats {
    /// The revision of the configuration that is served.
    revision: i64,
    /// Calls that are being answered now.
    calls_in_flight: u64,
    /// Log entries on their way to the database.
    journal_len: u64,
}

/// Which time is wanted: the last 24 hours unless said otherwise.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatsQuery {
    /// Not before; a day before `to` when not given.
    from: Option<DateTime<Utc>>,
    /// Before; now when not given.
    to: Option<DateTime<Utc>>,
}

/// Longest range: more would be a report.
const LONGEST: Duration = Duration::days(92);

/// Numbers for the dashboard.
#[utoipa::path(get, path = "/api/admin/dashboard/stats", tag = "dashboard", params(StatsQuery),
    responses((status = 200, description = "The numbers", body = Stats)))]
pub(crate) async fn dashboard_stats(
    actor: With<ReadStats>,
    State(app): State<Management>,
    Query(query): Query<StatsQuery>,
) -> Result<Answer<Stats>, ApiError> {
    let to = query.to.unwrap_or_else(Utc::now);
    let from = query.from.unwrap_or(to - Duration::days(1));
    if from >= to || to - from > LONGEST {
        let message = format!("must be before `to`, at most {} days", LONGEST.num_days());
        return Err(ApiError::field("from", message));
    }
    let found = app.store.dashboard(TimeRange { from, to }, actor.confined_to()).await?;
    let mut stats = Stats::from(found);
    // What the whole process does is not for those who see only their own calls.
    stats.live =
        app.live.as_ref().filter(|_| actor.confined_to().is_none()).map(|live| LiveStats {
            revision: live.revision().0,
            calls_in_flight: live.calls_in_flight(),
            journal_len: live.journal_len(),
        });
    Ok(Answer(stats))
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

impl From<Dashboard> for Stats {
    fn from(found: Dashboard) -> Self {
        let shares = |all: Vec<store::Share>| all.into_iter().map(Share::from).collect();
        Self {
            from: found.range.from,
            to: found.range.to,
            totals: found.totals.into(),
            latency_p50_ms: found.latency_p50_us.map(millis),
            latency_p95_ms: found.latency_p95_us.map(millis),
            upstreams: shares(found.upstreams),
            provider_keys: shares(found.provider_keys),
            service_keys: shares(found.service_keys),
            models: shares(found.models),
            hours: found
                .hours
                .into_iter()
                .map(|hour| Hour { at: hour.at, totals: hour.totals.into() })
                .collect(),
            counts: Counts {
                upstreams: found.upstream_count,
                service_keys: found.service_key_count,
                provider_keys: KeyCounts {
                    active: found.key_counts.active,
                    disabled_manual: found.key_counts.disabled,
                    banned: found.key_counts.banned,
                },
            },
            live: None,
        }
    }
}

impl From<store::Share> for Share {
    fn from(share: store::Share) -> Self {
        Self { id: share.id, name: share.name, totals: share.totals.into() }
    }
}

impl From<store::Totals> for Totals {
    fn from(sums: store::Totals) -> Self {
        let some = sums.requests > 0;
        let well = sums.requests.saturating_sub(sums.errors) as f64 / sums.requests.max(1) as f64;
        Self {
            requests: sums.requests,
            errors: sums.errors,
            success_percent: some.then(|| (well * 10_000.0).round() / 100.0),
            input_tokens: sums.input_tokens,
            cached_tokens: sums.cached_tokens,
            output_tokens: sums.output_tokens,
            reasoning_tokens: sums.reasoning_tokens,
            cost: Cost(sums.cost_nano),
            latency_ms: some.then(|| millis(sums.latency_us / sums.requests.max(1))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_percentages_exist_only_where_calls_do() {
        let none = Totals::from(store::Totals::default());
        assert_eq!((none.success_percent, none.latency_ms), (None, None));
        let sums =
            store::Totals { requests: 3, errors: 1, latency_us: 6_000, ..Default::default() };
        let some = Totals::from(sums);
        assert_eq!((some.success_percent, some.latency_ms), (Some(66.67), Some(2.0)));
    }
}
