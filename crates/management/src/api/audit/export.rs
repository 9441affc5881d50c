//! The audit trail as a file, sent while it is read: a thousand lines are in memory at a time.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderName, header},
};
use domain::UserId;
use futures_util::stream;
use serde::Deserialize;
use store::{AuditEvent, AuditFilter, Store, StoreError};
use utoipa::{IntoParams, ToSchema};

use super::{AuditLine, AuditQuery, AuditResult};
use crate::{
    api::provider_keys::formula,
    app::Management,
    error::ApiError,
    input::Query,
    permit::{ReadAudit, With},
};

/// The first line of a file in CSV.
const HEAD: &str = "id,at,action,result,actor,actor_id,address,object_kind,object_id,object_name,\
                    revision,comment,before,after,detail\n";

/// Which lines of the audit trail are exported, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditExportQuery {
    /// `ndjson` when not given.
    #[param(inline)]
    format: Option<AuditFormat>,
    /// Only actions of whoever has these characters in the name.
    actor: Option<String>,
    /// Only actions of this user.
    actor_id: Option<i64>,
    /// Only this action, for example `upstream.edit` or `auth.login_failed`.
    #[param(pattern = "^[a-z_]{1,64}\\.[a-z_]{1,64}$")]
    action: Option<String>,
    /// Only objects of this kind, for example `upstream`.
    object_kind: Option<String>,
    /// Only the object with this id.
    object_id: Option<i64>,
    /// Only actions with this result.
    #[param(inline)]
    result: Option<AuditResult>,
    /// Only actions at this moment or later.
    from: Option<chrono::DateTime<chrono::Utc>>,
    /// Only actions before this moment.
    to: Option<chrono::DateTime<chrono::Utc>>,
}

/// The form of a file of the audit trail; `ndjson` is one JSON object a line.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AuditFormat {
    #[default]
    Ndjson,
    Csv,
}

/// The audit trail as a file, the oldest first. That it was exported is a line of it.
#[utoipa::path(get, path = "/api/admin/audit/export", tag = "audit", params(AuditExportQuery),
    responses((status = 200, description = "The file", content(
        (String = "application/x-ndjson"), (String = "text/csv")))))]
pub(crate) async fn export_audit(
    actor: With<ReadAudit>,
    State(app): State<Management>,
    Query(query): Query<AuditExportQuery>,
) -> Result<([(HeaderName, &'static str); 2], Body), ApiError> {
    let AuditExportQuery { format, actor: name, actor_id, action, object_kind, .. } = query;
    let filter = AuditQuery {
        actor: name,
        actor_id: actor.confined_to().map(|UserId(own)| own).or(actor_id),
        action,
        object_kind,
        object_id: query.object_id,
        result: query.result,
        from: query.from,
        to: query.to,
        ..AuditQuery::default()
    };
    let filter = filter.filter()?;
    // What cannot be looked for is refused before the answer begins.
    let first = app.store.audit_after(&filter, 0).await?;
    app.store.note_event(&actor, AuditEvent::done("exported", "audit")).await?;
    let format = format.unwrap_or_default();
    let (kind, name, head) = match format {
        AuditFormat::Ndjson => {
            ("application/x-ndjson", "attachment; filename=\"audit.ndjson\"", "")
        }
        AuditFormat::Csv => ("text/csv; charset=utf-8", "attachment; filename=\"audit.csv\"", HEAD),
    };
    let body = body(app.store.clone(), filter, format, first, head);
    Ok(([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, name)], body))
}

/// The file: the lines that were read already, and then further ones until there are none.
fn body(
    store: Store,
    filter: AuditFilter,
    format: AuditFormat,
    first: Vec<store::AuditRow>,
    head: &'static str,
) -> Body {
    let portion = move |mut text: String, rows: Vec<store::AuditRow>| {
        for row in rows {
            match format {
                AuditFormat::Ndjson => ndjson(&mut text, &row.into()),
                AuditFormat::Csv => csv(&mut text, &row.into()),
            }
        }
        Bytes::from(text)
    };
    let last = |rows: &[store::AuditRow]| rows.last().map(|row| row.id);
    let begin = (last(&first), Some((head, first)));
    Body::from_stream(stream::try_unfold(begin, move |(after, read)| {
        let (store, filter) = (store.clone(), filter.clone());
        async move {
            if let Some((head, rows)) = read {
                return Ok::<_, StoreError>(Some((portion(head.to_owned(), rows), (after, None))));
            }
            let Some(after) = after else { return Ok(None) };
            let rows = store.audit_after(&filter, after).await?;
            let next = last(&rows);
            Ok(next.map(|next| (portion(String::new(), rows), (Some(next), None))))
        }
    }))
}

fn ndjson(text: &mut String, line: &AuditLine) {
    *text += &serde_json::to_string(line).expect("lines have a JSON form");
    text.push('\n');
}

fn csv(text: &mut String, line: &AuditLine) {
    let number = |number: Option<i64>| number.map(|it| it.to_string()).unwrap_or_default();
    let fields = |fields: &Option<serde_json::Map<_, _>>| {
        let json = fields.as_ref().map(serde_json::to_string);
        json.map(|json| json.expect("fields have a JSON form")).unwrap_or_default()
    };
    let result = match line.result {
        AuditResult::Done => "done",
        AuditResult::Refused => "refused",
    };
    let cells = [
        line.id.to_string(),
        line.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        line.action.clone(),
        result.to_owned(),
        formula::escaped(&line.actor).into_owned(),
        number(line.actor_id),
        line.address.map(|ip| ip.to_string()).unwrap_or_default(),
        line.object_kind.clone(),
        number(line.object_id),
        formula::escaped(line.object_name.as_deref().unwrap_or_default()).into_owned(),
        number(line.revision),
        formula::escaped(line.comment.as_deref().unwrap_or_default()).into_owned(),
        fields(&line.before),
        fields(&line.after),
        serde_json::to_string(&line.detail).expect("fields have a JSON form"),
    ];
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        *text += &format!("\"{}\"", cell.replace('"', "\"\""));
    }
    text.push('\n');
}
