//! Which calls a route takes by what they are like, as the API spells it.

use domain::Faults;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::values::all;

/// Which calls a route takes, besides those that ask for its name: all that is given must hold.
/// Expressions are regular ones and must fit the whole text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "gpt-.*", "headers": [{"name": "x-tier", "value": "gold"}]}))]
pub(crate) struct Matching {
    /// For the name of the model that is asked for.
    model: Option<String>,
    /// For the path, without the query.
    path: Option<String>,
    /// Headers that must be there, at most 16.
    #[serde(default)]
    headers: Vec<HeaderMatch>,
    /// Lower is asked first; equal ones in the order in which they were made.
    #[serde(default)]
    priority: i32,
}

/// A header that a call must have.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderMatch {
    /// In any case of letters.
    name: String,
    /// A regular expression for its whole value; `.*` for any.
    value: String,
}

impl Matching {
    /// What is wrong with it; fields begin with `matching`.
    pub(super) fn faults(&self) -> Faults {
        let mut faults = domain::Matching::from(self.clone()).compile().err().unwrap_or_default();
        for fault in &mut faults.0 {
            fault.field = match fault.field.as_str() {
                "" => "matching".to_owned(),
                field => format!("matching.{field}"),
            };
        }
        faults
    }
}

impl From<domain::Matching> for Matching {
    fn from(matching: domain::Matching) -> Self {
        let domain::Matching { model, path, headers, priority } = matching;
        Self { model, path, headers: all(headers), priority }
    }
}

impl From<Matching> for domain::Matching {
    fn from(matching: Matching) -> Self {
        let Matching { model, path, headers, priority } = matching;
        Self { model, path, headers: all(headers), priority }
    }
}

impl From<domain::HeaderMatch> for HeaderMatch {
    fn from(header: domain::HeaderMatch) -> Self {
        Self { name: header.name, value: header.value }
    }
}

impl From<HeaderMatch> for domain::HeaderMatch {
    fn from(header: HeaderMatch) -> Self {
        Self { name: header.name, value: header.value }
    }
}
