//! Reads the tables of `docs/GLOSSARY.md`.

use super::text;

/// One word of the glossary.
pub(crate) struct Row {
    pub(crate) word: String,
    pub(crate) chinese: String,
    pub(crate) meaning: String,
    /// The words that are not said for it.
    pub(crate) banned: Vec<String>,
}

/// Every row of every table.
pub(crate) fn rows() -> Vec<Row> {
    let page = text::read("docs/GLOSSARY.md");
    let tables = page.lines().filter(|line| line.starts_with("| "));
    tables.filter(|line| !line.contains("| 中文 |")).map(row).collect()
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [word, chinese, meaning, banned] = cells[..] else { panic!("not four cells: {line}") };
    let banned = banned.split(',').map(|word| word.trim().to_lowercase());
    Row {
        word: word.to_owned(),
        chinese: chinese.to_owned(),
        meaning: meaning.to_owned(),
        banned: banned.filter(|word| !word.is_empty()).collect(),
    }
}
