//! What people read: documents, the description of the API, error messages. Code in it is left out,
//! because names in code are renamed together with the code.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

/// A text and where it stands.
pub(crate) struct Text {
    pub(crate) place: String,
    pub(crate) text: String,
}

/// The text of a file of the repository.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every line of every document but the glossary, without blocks of code.
pub(crate) fn documents() -> Vec<Text> {
    let mut files = vec![root().join("README.md")];
    files.extend(["CHANGELOG.md", "CONTRIBUTING.md"].map(|name| root().join(name)));
    for dir in ["docs", "findings", "crates/dialect/golden"] {
        files_below(&root().join(dir), "md", &mut files);
    }
    files.retain(|file| !file.ends_with("GLOSSARY.md"));
    assert!(files.len() > 30, "only {} documents were found", files.len());
    files.iter().flat_map(|file| lines(file)).collect()
}

fn lines(file: &Path) -> Vec<Text> {
    let place = file.strip_prefix(root()).unwrap().display().to_string();
    let mut code = false;
    let mut found = Vec::new();
    for (number, line) in fs::read_to_string(file).unwrap().lines().enumerate() {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        if !code && !fence {
            found.push(Text { place: format!("{place}:{}", number + 1), text: line.to_owned() });
        }
    }
    found
}

/// Every summary and description in the description of the management API.
pub(crate) fn descriptions() -> Vec<Text> {
    let mut found = Vec::new();
    collect(&management::document(), "", &mut found);
    assert!(found.len() > 500, "only {} descriptions were found", found.len());
    found
}

fn collect(value: &Value, place: &str, found: &mut Vec<Text>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let place = format!("{place}/{name}");
                match value {
                    Value::String(text) if matches!(name.as_str(), "description" | "summary") => {
                        found.push(Text { place: format!("openapi {place}"), text: text.clone() });
                    }
                    value => collect(value, &place, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, place, found)),
        _ => {}
    }
}

/// Every message of an error type: the text of each `#[error("…")]`.
pub(crate) fn messages() -> Vec<Text> {
    let mut files = Vec::new();
    files_below(&root().join("src"), "rs", &mut files);
    files_below(&root().join("crates"), "rs", &mut files);
    let mut found = Vec::new();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(root()).unwrap().display().to_string();
        for part in source.split("#[error(").skip(1) {
            let text = part.split(")]").next().unwrap().to_owned();
            found.push(Text { place: place.clone(), text });
        }
    }
    assert!(found.len() > 50, "only {} messages were found", found.len());
    found
}

/// The prose of a line: without `code`, without the addresses of links, in lower case, with single
/// spaces.
pub(crate) fn prose(line: &str) -> String {
    let outside: Vec<&str> = line.split('`').step_by(2).collect();
    let mut prose = String::new();
    let text = outside.join(" ");
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        prose.push_str(before);
        prose.push(' ');
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    prose.push_str(rest);
    prose.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether the prose has a word or phrase, alone or with a plural `s`.
pub(crate) fn says(prose: &str, phrase: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    prose.match_indices(phrase).any(|(at, _)| {
        let after = &prose[at + phrase.len()..];
        let after = after.strip_prefix('s').unwrap_or(after);
        !prose[..at].ends_with(letter) && !after.starts_with(letter)
    })
}

/// Every file below `dir` with this extension.
pub(crate) fn files_below(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if path.is_dir() && !hidden {
            files_below(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
