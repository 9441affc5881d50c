//! Converts ids of tool calls to the characters that Anthropic accepts.

use std::borrow::Cow;

/// Returns the id if it has only letters, digits, `_` and `-`; else a derived one, the same for the
/// call and its result.
pub(super) fn fit(id: &str) -> Cow<'_, str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !id.is_empty() && id.chars().all(allowed) {
        return id.into();
    }
    let mut fit: String = id.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
    fit.push('_');
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    fit.extend(digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")));
    fit.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_fit_stay_and_the_others_never_become_one() {
        assert_eq!(fit("toolu_01-A"), "toolu_01-A");
        let ids = ["call:1", "call.1", "call/1", "", "é"];
        let fits: Vec<String> = ids.iter().map(|id| fit(id).into_owned()).collect();
        assert!(fits[0].starts_with("call_1_"), "{fits:?}");
        let mut apart = fits.clone();
        apart.sort();
        apart.dedup();
        assert_eq!(apart.len(), ids.len());
        for text in fits {
            assert_eq!(fit(&text), text, "fits already");
        }
    }
}
