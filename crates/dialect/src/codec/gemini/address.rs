//! The paths of Gemini, which contain the model.

use std::fmt::Write;

/// Returns the name of a model without its prefix.
pub(crate) fn bare(model: &str) -> &str {
    model.strip_prefix("models/").unwrap_or(model)
}

/// `/v1beta/models/<model>:<verb>`
pub(crate) fn path(model: &str, verb: &str) -> String {
    let mut path = String::from("/v1beta/models/");
    for byte in bare(model).bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'@') {
            path.push(byte.into());
        } else {
            write!(path, "%{byte:02X}").expect("a string can always be written to");
        }
    }
    path.push(':');
    path.push_str(verb);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_model_leaves_its_place_in_the_path() {
        let told = |model| path(model, "countTokens");
        assert_eq!(told("models/gemini-2.5-pro"), "/v1beta/models/gemini-2.5-pro:countTokens");
        assert_eq!(told("../a:b?é"), "/v1beta/models/..%2Fa%3Ab%3F%C3%A9:countTokens");
    }
}
