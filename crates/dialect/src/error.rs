//! Errors of request and answer bodies.

/// An invalid body. Positions are byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is empty.
    #[error("the body is empty")]
    Empty,
    /// The body is not UTF-8.
    #[error("the body is not valid UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// The body is not JSON.
    #[error("the body is not valid JSON at byte {0}")]
    Syntax(usize),
    /// The JSON is truncated.
    #[error("the body ends in the middle of the JSON")]
    CutShort,
    /// The body is not a form.
    #[error("the body is not a valid form at byte {0}")]
    Form(usize),
    /// The form is truncated.
    #[error("the body ends in the middle of the form")]
    FormCutShort,
    /// The nesting exceeds [`crate::MAX_DEPTH`], or [`crate::SCAN_DEPTH`] for bodies that are only
    /// scanned.
    #[error("the body is nested too deeply at byte {0}")]
    TooDeep(usize),
    /// The body is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that is used for routing occurs twice, so that two readers could disagree about it.
    #[error("the field `{0}` is given twice")]
    Twice(&'static str),
    /// A field that must be a string is something else.
    #[error("the field `{0}` is not a valid string")]
    NotText(&'static str),
}
