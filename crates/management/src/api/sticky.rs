//! What keeps calls that belong together with one key or target, as the API spells it.

use std::time::Duration;

use domain::policy::{self, StickyBy};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use utoipa::ToSchema;

use super::values::Seconds;

/// What keeps calls that belong together in one place, as long as it is well and not much busier
/// than the others.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(example = json!({"by": "conversation", "ttl": 300, "max_load_percent": 150}))]
pub(crate) struct Sticky {
    /// By what calls belong together: `conversation` (how it begins), `user`, or `header:NAME`.
    #[schema(value_type = String)]
    by: By,
    /// Seconds after the last call for which they do.
    ttl: Seconds,
    /// The place is left when it has more calls at once than the average times this, in hundredths.
    max_load_percent: u32,
}

#[derive(Debug, Clone)]
struct By(StickyBy);

impl Default for Sticky {
    fn default() -> Self {
        policy::Sticky::default().into()
    }
}

impl Serialize for By {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            StickyBy::Header(name) => serializer.collect_str(&format_args!("header:{name}")),
            StickyBy::Conversation => serializer.serialize_str("conversation"),
            StickyBy::User => serializer.serialize_str("user"),
        }
    }
}

impl<'de> Deserialize<'de> for By {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(match (text.as_str(), text.strip_prefix("header:")) {
            ("conversation", _) => StickyBy::Conversation,
            ("user", _) => StickyBy::User,
            (_, Some(name)) => StickyBy::Header(name.trim().to_ascii_lowercase()),
            _ => return Err(D::Error::custom("must be conversation, user or header:NAME")),
        }))
    }
}

impl From<policy::Sticky> for Sticky {
    fn from(sticky: policy::Sticky) -> Self {
        let policy::Sticky { by, ttl, max_load_percent } = sticky;
        Self { by: By(by), ttl: Seconds(ttl), max_load_percent }
    }
}

impl From<Sticky> for policy::Sticky {
    fn from(sticky: Sticky) -> Self {
        let ttl: Duration = sticky.ttl.0;
        Self { by: sticky.by.0, ttl, max_load_percent: sticky.max_load_percent }
    }
}
