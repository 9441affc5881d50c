//! Provider keys as a file: masked, or whole for who may see them so.

use axum::{
    extract::State,
    http::{HeaderName, header},
};
use domain::UpstreamId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{ExportedKey, ProviderKeyFilter};
use utoipa::{IntoParams, ToSchema};

use super::formula;
use crate::{
    api::{quotas::Quota, values::all},
    app::Management,
    error::ApiError,
    input::Query,
    permit::{ReadProviderKeys, RevealProviderKeys, With},
    words::KeyState,
};

/// Which provider keys are exported, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExportQuery {
    /// Only the pool of this upstream.
    upstream_id: Option<i64>,
    /// Only this quota group.
    quota_group: Option<String>,
    /// `csv` when not given.
    #[param(inline)]
    format: Option<ExportFormat>,
    /// Whole secrets instead of masked ones; needs `providerkey.reveal`, and is noted.
    reveal: Option<bool>,
}

/// The form of a file of provider keys; `lines` is one key a line.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ExportFormat {
    #[default]
    Csv,
    Json,
    Lines,
}

/// The provider keys of an exported JSON list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedKeys)]
struct ExportedKeys<'a>(Vec<Exported<'a>>);

/// A key as it stands in an exported JSON list.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExportedKey)]
struct Exported<'a> {
    /// Its id.
    id: i64,
    /// Whose pool it is in.
    upstream_id: i64,
    /// What people call it.
    name: &'a str,
    /// The secret, or what people see of it.
    #[schema(example = "sk-…abcd")]
    key: &'a str,
    /// What people decided, without what the gateway found.
    #[schema(value_type = KeyState)]
    state: &'static str,
    /// Its share under `weighted`.
    weight: u32,
    /// Its quota group.
    group: Option<&'a str>,
    /// Whether `quota_total` counts.
    enable_quota: bool,
    /// How many requests it may make a day.
    quota_total: Option<u64>,
    /// What else it may use.
    quotas: Vec<Quota>,
    /// Labels by which people find it.
    tags: &'a [String],
    /// What people noted about it.
    note: &'a str,
}

/// Provider keys as a file, at most 100,000. What was exported whole as CSV or JSON and is imported
/// again is the same, but for its id and who owns it.
#[utoipa::path(get, path = "/api/admin/keys/export", tag = "provider keys", params(ExportQuery),
    responses((status = 200, description = "The file", content(
        (String = "text/csv"), (ExportedKeys<'static> = "application/json"), (String = "text/plain")))))]
pub(crate) async fn export_provider_keys(
    actor: With<ReadProviderKeys>,
    revealing: Result<With<RevealProviderKeys>, ApiError>,
    State(app): State<Management>,
    Query(query): Query<ExportQuery>,
) -> Result<([(HeaderName, &'static str); 2], String), ApiError> {
    let reveal = query.reveal.unwrap_or_default();
    if reveal {
        revealing?;
    }
    let filter = ProviderKeyFilter {
        upstream: query.upstream_id.map(UpstreamId),
        group: query.quota_group,
        ..ProviderKeyFilter::default()
    };
    let keys = app.store.seen_by(&actor).export_provider_keys(&filter, reveal).await?;
    let keys: Vec<_> = keys.iter().filter(|key| !reveal || key.secret.is_some()).collect();
    let rows = keys.iter().map(|key| exported(key));
    let (kind, name, text) = match query.format.unwrap_or_default() {
        ExportFormat::Csv => {
            ("text/csv; charset=utf-8", "attachment; filename=\"keys.csv\"", csv(rows))
        }
        ExportFormat::Json => {
            let text = serde_json::to_string(&ExportedKeys(rows.collect()));
            let text = text.map_err(|error| ApiError::Internal(error.to_string()))?;
            ("application/json", "attachment; filename=\"keys.json\"", text)
        }
        ExportFormat::Lines => {
            let text = rows.fold(String::new(), |text, row| text + row.key + "\n");
            ("text/plain; charset=utf-8", "attachment; filename=\"keys.txt\"", text)
        }
    };
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], text))
}

fn exported(key: &ExportedKey) -> Exported<'_> {
    let row = &key.key;
    Exported {
        id: row.id.0,
        upstream_id: row.upstream.0,
        name: &row.name,
        key: key.secret.as_ref().map_or(row.mask.as_str(), |secret| secret.expose_secret()),
        state: row.state.as_str(),
        weight: row.weight,
        group: row.group.as_deref(),
        enable_quota: row.enable_quota,
        quota_total: row.quota_total,
        quotas: all(row.quotas.clone()),
        tags: &row.tags,
        note: &row.note,
    }
}

fn csv<'a>(rows: impl Iterator<Item = Exported<'a>>) -> String {
    let mut csv =
        "id,upstream_id,name,key,state,weight,group,enable_quota,quota_total,quotas,tags,note\n"
            .to_owned();
    for row in rows {
        let quotas = match row.quotas.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&row.quotas).expect("quotas have a JSON form"),
        };
        let fields = [
            row.id.to_string(),
            row.upstream_id.to_string(),
            field(&formula::escaped(row.name)),
            field(row.key),
            row.state.to_owned(),
            row.weight.to_string(),
            field(&formula::escaped(row.group.unwrap_or_default())),
            row.enable_quota.to_string(),
            row.quota_total.map(|total| total.to_string()).unwrap_or_default(),
            field(&quotas),
            field(&row.tags.join(" ")),
            field(&formula::escaped(row.note)),
        ];
        csv += &fields.join(",");
        csv.push('\n');
    }
    csv
}

/// A field of a CSV file. What stands in quotes is taken as it is, with the blanks at its ends.
fn field(text: &str) -> String {
    let at_the_ends = text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace);
    if at_the_ends || text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}
