//! What a conclusion about a key was drawn from, as all parts of the API show it.

use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::words::ErrorClass;

/// What a conclusion about a key was drawn from.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Evidence {
    /// The provider's status.
    status: Option<u16>,
    /// The provider's code of the error.
    code: Option<String>,
    /// The class of the failure.
    class: Option<ErrorClass>,
    /// The rule that decided.
    rule_id: Option<i64>,
    /// The log entry of the call.
    log_id: Option<Uuid>,
    /// The same in words.
    words: String,
}

impl From<domain::Evidence> for Evidence {
    fn from(evidence: domain::Evidence) -> Self {
        Self {
            status: evidence.status,
            code: evidence.code,
            class: evidence.class.map(Into::into),
            rule_id: evidence.rule.map(|rule| rule.0),
            log_id: evidence.log,
            words: evidence.words,
        }
    }
}
