//! Provider keys as a file: masked, or whole for who may see them so.

use std::borrow::Cow;

use axum::{
    extract::State,
    http::{HeaderName, header},
};
use domain::UpstreamId;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use store::{ExportedKey, ProviderKeyFilter};
use utoipa::{IntoParams, ToSchema};

use crate::{
    app::Management,
    error::ApiError,
    input::Query,
    permit::{ReadProviderKeys, RevealProviderKeys, With},
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

/// A key as it stands in an exported JSON list.
#[derive(Debug, Serialize)]
struct Exported<'a> {
    id: i64,
    upstream_id: i64,
    name: &'a str,
    /// The secret, or what people see of it.
    key: &'a str,
    /// What people decided, without what the gateway found.
    state: &'static str,
    weight: u32,
    group: Option<&'a str>,
    quota_total: Option<u64>,
    note: &'a str,
}

/// Provider keys as a file, at most 100,000. What was exported whole can be imported again.
#[utoipa::path(get, path = "/api/admin/keys/export", tag = "provider keys", params(ExportQuery),
    responses((status = 200, description = "The file", body = String, content_type = "text/csv")))]
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
        owner: actor.confined_to(),
        ..ProviderKeyFilter::default()
    };
    let keys = app.store.export_provider_keys(&actor, &filter, reveal).await?;
    let keys: Vec<_> = keys.iter().filter(|key| !reveal || key.secret.is_some()).collect();
    let rows = keys.iter().map(|key| exported(key));
    let (kind, name, text) = match query.format.unwrap_or_default() {
        ExportFormat::Csv => {
            ("text/csv; charset=utf-8", "attachment; filename=\"keys.csv\"", csv(rows))
        }
        ExportFormat::Json => {
            let text = serde_json::to_string(&rows.collect::<Vec<_>>());
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
    let row = &key.row;
    Exported {
        id: row.id.0,
        upstream_id: row.upstream.0,
        name: &row.name,
        key: key.secret.as_ref().map_or(row.mask.as_str(), |secret| secret.expose_secret()),
        state: row.state.as_str(),
        weight: row.weight,
        group: row.group.as_deref(),
        quota_total: row.quota_total.filter(|_| row.enable_quota),
        note: &row.note,
    }
}

fn csv<'a>(rows: impl Iterator<Item = Exported<'a>>) -> String {
    let mut csv = "id,upstream_id,name,key,state,weight,group,quota_total,note\n".to_owned();
    for row in rows {
        let fields = [
            row.id.to_string(),
            row.upstream_id.to_string(),
            field(&text(row.name)),
            field(row.key),
            row.state.to_owned(),
            row.weight.to_string(),
            field(&text(row.group.unwrap_or_default())),
            row.quota_total.map(|total| total.to_string()).unwrap_or_default(),
            field(&text(row.note)),
        ];
        csv += &fields.join(",");
        csv.push('\n');
    }
    csv
}

/// A field of a CSV file.
fn field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

/// What people wrote: where a spreadsheet would take it for a formula it begins with an
/// apostrophe, as spreadsheets write text.
fn text(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return format!("'{text}").into();
    }
    text.into()
}
