//! Tags: short labels that people give resources to find them again.

use crate::Faults;

/// Most tags of one resource.
pub const TAGS_MAX: usize = 16;
/// Longest tag, in characters.
pub const TAG_MAX: usize = 32;

/// What is wrong with the tags of a resource.
pub fn faults(tags: &[String]) -> Faults {
    let mut faults = Faults::default();
    if tags.len() > TAGS_MAX {
        faults.add("tags", format!("must be at most {TAGS_MAX}"));
    }
    for (i, tag) in tags.iter().enumerate().take(TAGS_MAX) {
        if !is_tag(tag) {
            let form = "must be 1 to 32 letters (small ones), digits or any of `-_.:/`";
            faults.add(format!("tags[{i}]"), form);
        } else if tags[..i].contains(tag) {
            faults.add(format!("tags[{i}]"), "is there already");
        }
    }
    faults
}

/// Whether a text can be a tag.
pub fn is_tag(text: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() && !c.is_uppercase() || "-_.:/".contains(c);
    (1..=TAG_MAX).contains(&text.chars().count()) && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_few_short_and_given_once() {
        let fields = |tags: &[&str]| {
            let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
            faults(&tags).0.into_iter().map(|fault| fault.field).collect::<Vec<_>>()
        };
        assert!(fields(&["prod", "team:a/b", "生产", "v1.2_x-y"]).is_empty());
        assert_eq!(fields(&["", "Prod", "a b", "a\"b", "a%"]).len(), 5);
        assert_eq!(fields(&["a", "b", "a"]), ["tags[2]"]);
        let long = "x".repeat(TAG_MAX + 1);
        assert_eq!(fields(&[&long[1..], &long]), ["tags[1]"]);
        let many: Vec<String> = (0..=TAGS_MAX).map(|i| i.to_string()).collect();
        assert_eq!(faults(&many).0[0].field, "tags");
    }
}
