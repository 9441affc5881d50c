//! Translates finish reasons between Google's names and the common ones.

use std::borrow::Cow;

use crate::{Failure, FailureKind, chat::Finish};

/// The meaning of a `finishReason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// The model finished or called a function.
    Natural,
    /// A limit was reached.
    Length,
    /// The answer was filtered.
    Filtered,
    /// The generation failed: content that exists may be used, but an empty answer is a failure.
    Broken,
}

impl Reason {
    /// Returns the meaning of the reason `name`.
    pub(super) fn of(name: &str) -> Reason {
        match name {
            "MAX_TOKENS" | "CONTINUATION" => Reason::Length,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION"
            | "ESCALATION"
            | "PUP_LIMITED_DISABLED"
            | "MODEL_ARMOR" => Reason::Filtered,
            "MALFORMED_FUNCTION_CALL"
            | "MALFORMED_RESPONSE"
            | "UNEXPECTED_TOOL_CALL"
            | "MISSING_THOUGHT_SIGNATURE"
            | "TOO_MANY_TOOL_CALLS"
            | "NO_IMAGE"
            | "IMAGE_OTHER"
            | "OTHER" => Reason::Broken,
            _ => Reason::Natural,
        }
    }

    /// Returns the common finish reason of a candidate with or without calls.
    pub(super) fn finish<'a>(self, calls: bool, why: Option<Cow<'a, str>>) -> Finish<'a> {
        match self {
            Reason::Length => Finish::Length,
            Reason::Filtered => Finish::Filtered(why.filter(|why| !why.is_empty())),
            Reason::Natural | Reason::Broken if calls => Finish::Calls,
            Reason::Natural | Reason::Broken => Finish::Stop,
        }
    }
}

/// Creates the failure for an answer without content.
pub(super) fn nothing(reason: &str, message: &str) -> Failure {
    let mut told = "the model gave no answer".to_owned();
    for more in [reason, message] {
        if !more.is_empty() {
            told.push_str(": ");
            told.push_str(more);
        }
    }
    Failure::new(FailureKind::BadGateway, told)
}

/// Returns Google's name of a finish reason.
pub(super) fn name(finish: &Finish<'_>) -> &'static str {
    match finish {
        Finish::Stop | Finish::Sequence(_) | Finish::Calls | Finish::Paused => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filtered(_) => "SAFETY",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_meaning() {
        let told = |name: &str, calls| Reason::of(name).finish(calls, Some("why".into()));
        assert_eq!(told("STOP", false), Finish::Stop);
        assert_eq!(told("STOP", true), Finish::Calls);
        assert_eq!(told("CONTINUATION", true), Finish::Length);
        assert_eq!(told("SPII", true), Finish::Filtered(Some("why".into())));
        assert_eq!(told("OTHER", false), Finish::Stop);
        assert_eq!(told("TOO_MANY_TOOL_CALLS", true), Finish::Calls);
        assert_eq!(told("SOMETHING_NEW", false), Finish::Stop);
    }
}
