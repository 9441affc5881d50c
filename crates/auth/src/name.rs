//! Comparison of user names: `Lin`, ` lin ` and `LIN` are one account.

use ring::digest;
use unicode_normalization::UnicodeNormalization;

/// Returns the canonical spelling of a name, for look-ups, counts and uniqueness.
pub fn fold_name(name: &str) -> String {
    name.trim().nfkc().collect::<String>().to_lowercase().nfc().collect()
}

/// Returns a short digest of a name, the same for all its spellings. Used to count failed sign-ins,
/// whose names may be long or passwords.
pub fn name_mark(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, fold_name(name).as_bytes());
    hex::encode(&hash.as_ref()[..16])
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

    #[test]
    fn a_mark_is_short_and_the_same_for_all_spellings() {
        assert_eq!(name_mark(" Lin "), name_mark("lin"));
        assert_ne!(name_mark("lin"), name_mark("lim"));
        assert_eq!(name_mark(&"x".repeat(1 << 20)).len(), 32);
    }
}
