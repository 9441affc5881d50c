//! User names as they are compared: `Lin`, ` lin ` and `LIN` are one account.

use unicode_normalization::UnicodeNormalization;

/// The one spelling under which a name is looked up, counted and kept unique.
pub fn fold_name(name: &str) -> String {
    name.trim().nfkc().collect::<String>().to_lowercase().nfc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for name in ["zu\u{308}rich", " Z\u{fc}rich\n", "ZU\u{308}RICH", "\u{ff3a}\u{fc}rich"] {
            assert_eq!(fold_name(name), "z\u{fc}rich", "{name:?}");
        }
        assert_ne!(fold_name("lin"), fold_name("lim"));
    }
}
