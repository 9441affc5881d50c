//! A text with many provider keys: one a line, CSV with a head, or JSON. What is wrong with one of
//! them is told of that one, and what was sent is never repeated.

use std::str::FromStr;

use domain::{Fault, Faults, KeyState};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::value::RawValue;
use store::ImportedKey;
use utoipa::ToSchema;

use super::import::Defaults;
use crate::{
    api::{quotas::Quota, values::all},
    error::ApiError,
};

/// The form of a text with many keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImportFormat {
    /// One key a line; blank lines and those that begin with `#` are passed over.
    Lines,
    /// With a head that names its columns: `key_value` (or `key`), `name`, `weight`, `quota_group`
    /// (or `group`), `quota_total`, `note`, `state`; others are passed over.
    Csv,
    /// A list of keys, or of objects with the fields that CSV has, and `quotas`.
    Json,
}

/// One key of a text, and in which line it stands (of JSON: at which place, from 1).
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: Result<ImportedKey, Faults>,
}

/// What a text says of a key.
#[derive(Default, Deserialize)]
struct Said {
    #[serde(alias = "key")]
    key_value: SecretString,
    name: Option<String>,
    weight: Option<u32>,
    #[serde(alias = "group")]
    quota_group: Option<String>,
    quota_total: Option<u64>,
    quotas: Option<Vec<Quota>>,
    state: Option<String>,
    note: Option<String>,
}

/// The form that a text has by its looks.
pub(super) fn guess(text: &str) -> ImportFormat {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let head = text.lines().next().unwrap_or_default().to_ascii_lowercase();
    let names_key = |column: &str| matches!(column.trim().trim_matches('"'), "key" | "key_value");
    if text.starts_with('[') {
        ImportFormat::Json
    } else if head.split(',').any(names_key) {
        ImportFormat::Csv
    } else {
        ImportFormat::Lines
    }
}

/// The keys of a text, at most as many as are imported at once.
pub(super) fn parse(
    format: ImportFormat,
    text: &str,
    defaults: &Defaults,
) -> Result<Vec<Entry>, ApiError> {
    let text = text.trim_start_matches('\u{feff}');
    let said = match format {
        ImportFormat::Lines => lines(text),
        ImportFormat::Csv => csv(text)?,
        ImportFormat::Json => json(text)?,
    };
    if said.len() > store::Store::KEYS_AT_ONCE {
        return Err(ApiError::field("text", "must hold at most 100000 keys"));
    }
    let entry = |(line, said): (usize, Result<Said, Faults>)| Entry {
        line,
        key: said.and_then(|said| said.with(defaults)),
    };
    Ok(said.into_iter().map(entry).collect())
}

type AllSaid = Vec<(usize, Result<Said, Faults>)>;

fn lines(text: &str) -> AllSaid {
    let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.trim()));
    let keys = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let said = |(number, line): (usize, &str)| {
        (number, Ok(Said { key_value: line.into(), ..Said::default() }))
    };
    keys.map(said).collect()
}

fn json(text: &str) -> Result<AllSaid, ApiError> {
    let items: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| malformed(error.line(), "the text is not a JSON list"))?;
    let read = |item: &RawValue| {
        if let Ok(key) = serde_json::from_str::<SecretString>(item.get()) {
            return Ok(Said { key_value: key, ..Said::default() });
        }
        let mut reader = serde_json::Deserializer::from_str(item.get());
        serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let (path, said) = (error.path().to_string(), error.inner().to_string());
            // Only what is ours of what serde says: the rest may repeat a secret.
            match said.starts_with("missing field") {
                true => fault("key_value", "is required"),
                false if path == "." => fault("", "must be a key, or an object with one"),
                false => fault(&path, "has not its form"),
            }
        })
    };
    Ok((1..).zip(items.into_iter().map(read)).collect())
}

fn csv(text: &str) -> Result<AllSaid, ApiError> {
    let mut records = Records { text, line: 1 };
    let Some((_, head)) = records.next() else { return Ok(Vec::new()) };
    let head: Vec<String> = head.iter().map(|name| name.trim().to_ascii_lowercase()).collect();
    if !head.iter().any(|name| name == "key" || name == "key_value") {
        return Err(malformed(1, "the head names no column `key_value`"));
    }
    let full = |(_, fields): &(usize, Vec<String>)| fields.iter().any(|f| !f.trim().is_empty());
    let said = |(line, fields): (usize, Vec<String>)| {
        if fields.len() > head.len() {
            return (line, Err(fault("", "has more fields than the head")));
        }
        let mut said = Said::default();
        let mut faults = Faults::default();
        for (name, value) in head.iter().zip(fields) {
            said.hear(name, value.trim(), &mut faults);
        }
        (line, faults.none_or(said))
    };
    Ok(records.filter(full).map(said).collect())
}

impl Said {
    /// One field of CSV; what is empty says nothing.
    fn hear(&mut self, column: &str, value: &str, faults: &mut Faults) {
        if value.is_empty() {
            return;
        }
        let text = || Some(value.to_owned());
        let mut number = |field: &str| {
            let number = value.parse::<u64>().ok();
            if number.is_none() {
                faults.add(field, "must be a whole number that is not negative");
            }
            number
        };
        match column {
            "key_value" | "key" => self.key_value = value.into(),
            "name" => self.name = text(),
            "weight" => {
                let weight = number("weight");
                self.weight = weight.map(|weight| u32::try_from(weight).unwrap_or(u32::MAX));
            }
            "quota_group" | "group" => self.quota_group = text(),
            "quota_total" => self.quota_total = number("quota_total"),
            "state" => self.state = text(),
            "note" => self.note = text(),
            _ => {}
        }
    }

    /// The key, with what is said of all where nothing is said of this one.
    fn with(self, defaults: &Defaults) -> Result<ImportedKey, Faults> {
        let state = self.state.as_deref().map(KeyState::from_str).transpose();
        let state = state.map_err(|fault| Faults(vec![fault]))?;
        let some = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        Ok(ImportedKey {
            name: some(self.name),
            secret: self.key_value,
            state: state.or(defaults.state.map(Into::into)),
            weight: self.weight.or(defaults.weight),
            quota_total: self.quota_total.or(defaults.quota_total()),
            quotas: all(self.quotas.or_else(|| defaults.quotas.clone()).unwrap_or_default()),
            group: some(self.quota_group).or_else(|| defaults.quota_group.clone()),
            note: self.note.unwrap_or_default(),
        })
    }
}

/// The records of a CSV text, and in which line each begins.
struct Records<'a> {
    text: &'a str,
    line: usize,
}

impl Iterator for Records<'_> {
    type Item = (usize, Vec<String>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.text.is_empty() {
            return None;
        }
        let start = self.line;
        let mut fields = vec![String::new()];
        let (mut quoted, mut end) = (false, self.text.len());
        let mut chars = self.text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            let field = fields.last_mut().expect("there is always one");
            match c {
                '"' if quoted && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                    field.push('"');
                    chars.next();
                }
                '"' if quoted || field.trim().is_empty() => quoted = !quoted,
                ',' if !quoted => fields.push(String::new()),
                '\n' => {
                    self.line += 1;
                    if !quoted {
                        end = at + 1;
                        break;
                    }
                    field.push(c);
                }
                c => field.push(c),
            }
        }
        self.text = &self.text[end..];
        Some((start, fields))
    }
}

fn fault(field: &str, message: &str) -> Faults {
    Faults(vec![Fault::new(field, message)])
}

fn malformed(line: usize, message: &str) -> ApiError {
    ApiError::field("text", format!("{message} (line {line})"))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn check(text: &str, expected: &[(usize, &str)]) {
        let entries = parse(guess(text), text, &Defaults::default()).unwrap();
        let told = |entry: &Entry| match &entry.key {
            Ok(key) => {
                let (name, secret) = (key.name.as_deref(), key.secret.expose_secret());
                format!("{secret} {}", name.unwrap_or("-"))
            }
            Err(faults) => faults.to_string(),
        };
        let told: Vec<_> = entries.iter().map(|entry| (entry.line, told(entry))).collect();
        let told: Vec<_> = told.iter().map(|(line, told)| (*line, told.as_str())).collect();
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn keys_stand_in_lines_in_columns_and_in_lists() {
        check("sk-a\n\n# old\r\n  sk-b  \r\nsk-a", &[(1, "sk-a -"), (4, "sk-b -"), (5, "sk-a -")]);
        check(
            "\u{feff}name,\"Key\",weight\n\"a \"\"b\"\",\nc\",sk-a,5\n,sk-b,\n\n,sk-c,x\nd,sk-d,1,2\n",
            &[
                (2, "sk-a a \"b\",\nc"),
                (4, "sk-b -"),
                (6, "weight: must be a whole number that is not negative"),
                (7, ": has more fields than the head"),
            ],
        );
        check(
            r#"["sk-a", {"key": "sk-b", "name": "b", "id": 7}, {"name": "c"}, 4, {"key": {"sk": 1}}]"#,
            &[
                (1, "sk-a -"),
                (2, "sk-b b"),
                (3, "key_value: is required"),
                (4, ": must be a key, or an object with one"),
                (5, "key: has not its form"),
            ],
        );
    }

    #[test]
    fn a_text_that_is_no_list_is_refused_as_a_whole() {
        let refused = |format, text| parse(format, text, &Defaults::default()).is_err();
        assert!(refused(ImportFormat::Json, "[1"));
        assert!(refused(ImportFormat::Json, "{}"));
        assert!(refused(ImportFormat::Csv, "name,note\na,b"));
    }
}
