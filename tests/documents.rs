//! Documents that are tests: the glossary is complete, and what people read uses its words; what
//! documents name exists, and decisions and commits have their form. The map of the code and the
//! table of crates are held by `tests/architecture.rs`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod documents {
    mod commits;
    mod forms;
    pub(crate) mod glossary;
    pub(crate) mod text;
}

use std::collections::BTreeSet;

use documents::{glossary, text};

/// Phrases in which a word of the last column has another meaning: the phrase, and why it stays.
const EXCEPTIONS: &[(&str, &str)] = &[];

#[test]
fn every_row_of_the_glossary_is_complete() {
    let rows = glossary::rows();
    assert!(rows.len() > 40, "only {} rows were read", rows.len());
    let mut words = BTreeSet::new();
    for row in &rows {
        let chinese = row.chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
        assert!(chinese, "`{}` has no Chinese word", row.word);
        assert!(!row.meaning.is_empty(), "`{}` has no meaning", row.word);
        assert!(!row.banned.is_empty(), "`{}` does not say what it replaces", row.word);
        assert!(words.insert(row.word.clone()), "`{}` has two rows", row.word);
    }
    for row in &rows {
        for banned in &row.banned {
            let also_used = rows.iter().any(|other| other.word.split(", ").any(|w| w == banned));
            assert!(!also_used, "`{banned}` is a word and is not to be said");
        }
    }
}

#[test]
fn documents_descriptions_and_messages_use_the_words_of_the_glossary() {
    let mut texts = text::documents();
    texts.extend(text::descriptions());
    texts.extend(text::messages());
    let banned: Vec<String> = glossary::rows().into_iter().flat_map(|row| row.banned).collect();
    let mut found = Vec::new();
    for text in &texts {
        let words = without_exceptions(&text::prose(&text.text));
        for banned in banned.iter().filter(|banned| text::says(&words, banned)) {
            found.push(format!("{}: `{banned}` in: {}", text.place, text.text.trim()));
        }
    }
    assert!(found.is_empty(), "see docs/GLOSSARY.md:\n{}", found.join("\n"));
}

#[test]
fn every_exception_is_needed() {
    let texts = text::documents().into_iter().chain(text::descriptions()).chain(text::messages());
    let texts: Vec<String> = texts.map(|text| text::prose(&text.text)).collect();
    for (phrase, reason) in EXCEPTIONS {
        assert!(!reason.is_empty());
        assert!(texts.iter().any(|text| text::says(text, phrase)), "`{phrase}` is said nowhere");
    }
}

#[test]
fn words_are_found_whole_and_outside_of_code() {
    let check = |line: &str, word: &str| text::says(&text::prose(line), word);
    assert!(check("The Doors, or a door.", "door"));
    assert!(check("it waits in  line", "in line"));
    assert!(!check("indoor doorway", "door"));
    assert!(!check("the file `door.rs` has it", "door"));
    assert!(!check("see [the page](docs/door.md)", "door"));
}

fn without_exceptions(prose: &str) -> String {
    EXCEPTIONS.iter().fold(prose.to_owned(), |text, (phrase, _)| text.replace(phrase, " "))
}
