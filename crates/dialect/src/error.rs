//! Why a body cannot be worked with.

/// Why a JSON body was not accepted. The position is a byte offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// There is nothing in it.
    #[error("the body is empty")]
    Empty,
    /// It is not UTF-8.
    #[error("the body is not valid UTF-8 at byte {0}")]
    NotUtf8(usize),
    /// It is not JSON.
    #[error("the body is not valid JSON at byte {0}")]
    Syntax(usize),
    /// It ends before the JSON does.
    #[error("the body ends in the middle of the JSON")]
    CutShort,
    /// It is not a form.
    #[error("the body is not a valid form at byte {0}")]
    Form(usize),
    /// It ends before the form does.
    #[error("the body ends in the middle of the form")]
    FormCutShort,
    /// It is nested deeper than [`crate::MAX_DEPTH`], or [`crate::SCAN_DEPTH`] where it is only scanned.
    #[error("the body is nested too deeply at byte {0}")]
    TooDeep(usize),
    /// It is JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
    /// A field that decides where the call goes stands in it twice, so that two readers could
    /// disagree about it.
    #[error("the field `{0}` is given twice")]
    Twice(&'static str),
    /// A field that must be a text is something else.
    #[error("the field `{0}` is not a valid string")]
    NotText(&'static str),
}
