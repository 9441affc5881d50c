//! Many provider keys in one text: pasted into a field, or uploaded as a file.

use axum::{
    Json as Answer,
    extract::{FromRequest, FromRequestParts, Request, State},
    http::header,
};
use domain::{Faults, UpstreamId};
use serde::{Deserialize, Serialize};
use store::ImportResult;
use utoipa::{IntoParams, ToSchema};

use super::defaults::Defaults;
use super::parse::{Entry, ImportFormat, guess, parse};
use crate::{
    app::Management,
    error::ApiError,
    input::{Input, Query, object, whole},
    permit::{ManageProviderKeys, With},
};

/// Most bytes of a list of keys.
const IMPORT_MAX: usize = 32 * 1024 * 1024;
/// Most lines that a report names.
const REPORT_MAX: usize = 10_000;

/// A list of provider keys to be imported into the pool of an upstream.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"upstream_id": 1, "format": "lines", "text": "sk-a\nsk-b"}))]
pub(crate) struct ImportKeys {
    /// The upstream whose pool gets the keys.
    upstream_id: i64,
    /// By the looks of the text when not given.
    format: Option<ImportFormat>,
    /// At most 100,000 keys.
    text: String,
    /// What is so of every key of which the text says nothing else.
    #[serde(default)]
    defaults: Defaults,
    /// Only tell what would become of the keys.
    #[serde(default)]
    dry_run: bool,
    /// Which lines the report names.
    #[serde(default)]
    report: Report,
}

/// Which lines a report names: those that were not created, or all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Report {
    #[default]
    Rest,
    All,
}

/// The query of an uploaded file: what stands beside the text in JSON.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct UploadQuery {
    /// The pool, where the body is a file.
    upstream_id: Option<i64>,
    /// By the looks of the file when not given.
    #[param(inline)]
    format: Option<ImportFormat>,
    /// Only tell what would become of the keys.
    dry_run: Option<bool>,
    /// Which lines the report names.
    #[param(inline)]
    report: Option<Report>,
}

impl Input for ImportKeys {
    const BY_THE_LINE: &'static [&'static str] = &["text"];

    fn faults(&self) -> Faults {
        let mut faults = Faults::default();
        if self.defaults.enable_quota == Some(true) && self.defaults.quota_total.is_none() {
            faults.add("defaults.quota_total", "must be given when the quota counts");
        }
        faults
    }
}

impl FromRequest<Management> for ImportKeys {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Management) -> Result<Self, ApiError> {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default();
        let kind = kind.trim().to_ascii_lowercase();
        let (mut parts, body) = request.into_parts();
        let Query(query) = Query::<UploadQuery>::from_request_parts(&mut parts, app).await?;
        let as_file = match kind.as_str() {
            "application/json" => query.upstream_id.is_some(),
            "text/plain" | "text/csv" | "application/octet-stream" => true,
            _ => return Err(ApiError::NoKeyList),
        };
        let body = whole(Request::from_parts(parts, body), IMPORT_MAX).await?;
        if !as_file {
            let import: Self = object(&body)?;
            return import.faults().none_or(import).map_err(ApiError::Invalid);
        }
        let Some(upstream_id) = query.upstream_id else {
            return Err(ApiError::field("upstream_id", "is required"));
        };
        let text = String::from_utf8(body.into());
        Ok(Self {
            upstream_id,
            format: query.format.or((kind == "text/csv").then_some(ImportFormat::Csv)),
            text: text.map_err(|_| ApiError::field("text", "must be UTF-8"))?,
            defaults: Defaults::default(),
            dry_run: query.dry_run.unwrap_or_default(),
            report: query.report.unwrap_or_default(),
        })
    }
}

/// What became of a list of provider keys.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Imported {
    /// Keys that were entered, or would be.
    created: usize,
    /// Keys that the pool or the list had already.
    duplicates: usize,
    /// Number of keys with invalid values.
    invalid: usize,
    /// Whether nothing was entered because that was asked for.
    dry_run: bool,
    /// The lines that were not created, or all where that was asked for.
    lines: Vec<ImportedLine>,
    /// Whether there are more lines to tell of than are told.
    truncated: bool,
}

/// What became of a line.
#[derive(Debug, Serialize, ToSchema)]
struct ImportedLine {
    /// Its number, from 1; of JSON the place in the list.
    line: usize,
    /// What became of it.
    result: LineResult,
    /// The key that was entered, or that the pool had already.
    id: Option<i64>,
    /// Why it was not entered.
    message: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum LineResult {
    Created,
    Duplicate,
    Invalid,
}

/// Import many provider keys. What is good is entered, although other lines are not.
///
/// The body is JSON; or the file itself (up to 32 MiB) as `text/plain`, `text/csv` or, with
/// `upstream_id` in the query, as `application/json`.
#[utoipa::path(post, path = "/api/admin/keys/import", tag = "provider keys", params(UploadQuery),
    request_body(content((ImportKeys = "application/json"), (String = "text/plain"), (String = "text/csv"))),
    responses((status = 200, description = "What became of each key", body = Imported)))]
pub(crate) async fn import_provider_keys(
    actor: With<ManageProviderKeys>,
    State(app): State<Management>,
    import: ImportKeys,
) -> Result<Answer<Imported>, ApiError> {
    let ImportKeys { upstream_id, format, text, defaults, dry_run, report } = import;
    let parsing = tokio::task::spawn_blocking(move || {
        parse(format.unwrap_or_else(|| guess(&text)), &text, &defaults)
    });
    let entries = parsing.await.map_err(|error| ApiError::Internal(error.to_string()))??;
    let mut places = Vec::with_capacity(entries.len());
    let mut keys = Vec::with_capacity(entries.len());
    let mut lines = Vec::new();
    for Entry { line, key } in entries {
        match key {
            Ok(key) => {
                places.push(line);
                keys.push(key);
            }
            Err(faults) => lines.push(invalid(line, &faults)),
        }
    }
    let upstream = UpstreamId(upstream_id);
    let results = app.store.import_provider_keys(&actor, upstream, keys, dry_run).await?;
    let told = places.iter().zip(results).map(|(line, result)| told(*line, result, &places));
    lines.extend(told);
    lines.sort_by_key(|line| line.line);
    Ok(Answer(summed(lines, dry_run, report)))
}

fn invalid(line: usize, faults: &Faults) -> ImportedLine {
    let message = Some(faults.to_string());
    ImportedLine { line, result: LineResult::Invalid, id: None, message }
}

fn told(line: usize, result: ImportResult, places: &[usize]) -> ImportedLine {
    let told = |result, id: Option<domain::ProviderKeyId>, message| ImportedLine {
        line,
        result,
        id: id.map(|id| id.0),
        message,
    };
    match result {
        ImportResult::Created(id) => told(LineResult::Created, id, None),
        ImportResult::InPool(id) => {
            let message = "the pool has this key already".to_owned();
            told(LineResult::Duplicate, Some(id), Some(message))
        }
        ImportResult::InList(place) => {
            let first = places.get(place).copied().unwrap_or_default();
            told(LineResult::Duplicate, None, Some(format!("it stands in line {first} already")))
        }
        ImportResult::Invalid(faults) => invalid(line, &faults),
    }
}

fn summed(lines: Vec<ImportedLine>, dry_run: bool, report: Report) -> Imported {
    let count = |result| lines.iter().filter(|line| line.result == result).count();
    let mut imported = Imported {
        created: count(LineResult::Created),
        duplicates: count(LineResult::Duplicate),
        invalid: count(LineResult::Invalid),
        dry_run,
        ..Imported::default()
    };
    imported.lines = lines;
    imported.lines.retain(|line| report == Report::All || line.result != LineResult::Created);
    imported.truncated = imported.lines.len() > REPORT_MAX;
    imported.lines.truncate(REPORT_MAX);
    imported
}
