//! Patterns of models: an exact name, or a prefix followed by `*`.

/// Longest pattern.
const PATTERN_MAX: usize = 256;

/// Whether `pattern` matches `model`.
pub fn fits(pattern: &str, model: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => model == pattern,
    }
}

/// Returns what is wrong with a pattern.
pub(crate) fn fault(pattern: &str) -> Option<&'static str> {
    if pattern.is_empty() || pattern.len() > PATTERN_MAX {
        return Some("must be 1 to 256 bytes");
    }
    let beginning = pattern.strip_suffix('*').unwrap_or(pattern);
    beginning.contains('*').then_some("must be a model name, or how names begin and one `*` last")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_any_rest() {
        for (pattern, model, expected) in [
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5-mini", false),
            ("gpt-*", "gpt-5", true),
            ("gpt-*", "gpt-", true),
            ("gpt-*", "o3", false),
            ("azure/gpt-*", "azure/gpt-5", true),
            ("*", "anything", true),
        ] {
            assert_eq!(fits(pattern, model), expected, "{pattern} {model}");
        }
    }

    #[test]
    fn a_star_elsewhere_is_a_fault() {
        for pattern in ["gpt-5", "gpt-*", "*"] {
            assert_eq!(fault(pattern), None, "{pattern}");
        }
        for pattern in ["", "g*t", "*-mini", "gpt-**", &"x".repeat(257)] {
            assert!(fault(pattern).is_some(), "{pattern}");
        }
    }
}
