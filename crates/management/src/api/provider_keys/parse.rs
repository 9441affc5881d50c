//! A text with many provider keys: one a line, CSV with a head, or JSON. What is wrong with one of
//! them is told of that one, and what was sent is never repeated.

mod records;

use std::str::FromStr;

use domain::{Fault, Faults, KeyState};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};
use store::ImportedKey;
use utoipa::ToSchema;

use self::records::{Record, Records};
use super::{defaults::Defaults, formula};
use crate::{
    api::{quotas::Quota, values::all},
    error::ApiError,
    input::{form::Form, nul, words},
};

/// The form of a text with many keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ImportFormat {
    /// One key a line and nothing else in it; blank lines and those that begin with `#` are passed
    /// over.
    Lines,
    /// With a head that names its columns: `key_value` (or `key`), `name`, `weight`, `quota_group`
    /// (or `group`), `enable_quota`, `quota_total`, `quotas` (a JSON list), `tags` (with blanks between them), `note`, `state`. `id` and
    /// `upstream_id`, which an exported file has, are passed over; others are refused. A field in
    /// quotes is taken with the blanks at its ends; an apostrophe before one of `=+-@'`, as an
    /// exported file has it, is not part of a text.
    Csv,
    /// A list of keys, or of objects with the fields that CSV has.
    Json,
}

/// One key of a text, and in which line it stands (of JSON: at which place, from 1).
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) key: Result<ImportedKey, Faults>,
}

/// What exported keys have and imported ones do not need.
const EXPORTED: [&str; 2] = ["id", "upstream_id"];

/// What a text says of a key.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    #[serde(alias = "key")]
    key_value: SecretString,
    name: Option<String>,
    weight: Option<u32>,
    #[serde(alias = "group")]
    quota_group: Option<String>,
    enable_quota: Option<bool>,
    quota_total: Option<u64>,
    tags: Option<Vec<String>>,
    quotas: Option<Vec<Quota>>,
    state: Option<String>,
    note: Option<String>,
}

/// The form that a text has by its looks.
pub(super) fn guess(text: &str) -> ImportFormat {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let head = text.lines().next().unwrap_or_default();
    let names_key = |name: &str| column(name.trim().trim_matches('"')) == Some("key_value");
    if text.starts_with(['[', '{']) {
        ImportFormat::Json
    } else if head.split(',').any(names_key) {
        ImportFormat::Csv
    } else {
        ImportFormat::Lines
    }
}

/// The column of this name, however it is written. None where there is no such column.
fn column(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "key_value" | "key" => "key_value",
        "name" => "name",
        "weight" => "weight",
        "quota_group" | "group" => "quota_group",
        "enable_quota" => "enable_quota",
        "quota_total" => "quota_total",
        "quotas" => "quotas",
        "tags" => "tags",
        "state" => "state",
        "note" => "note",
        "id" => "id",
        "upstream_id" => "upstream_id",
        _ => return None,
    })
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
    keys.map(|(number, line)| (number, alone(line))).collect()
}

/// A key that stands alone in its line. What looks like more than a key is none: it would be
/// entered as a secret that no provider knows.
fn alone(line: &str) -> Result<Said, Faults> {
    let more = |c: char| matches!(c, ',' | ';') || c.is_whitespace();
    if line.starts_with(['{', '[', '"']) || line.contains(more) {
        let words = "is no key alone: give `format`, or for columns with `,` between them a head \
                     that names them, with `key` among them";
        return Err(fault("key_value", words));
    }
    Ok(Said { key_value: line.into(), ..Said::default() })
}

fn json(text: &str) -> Result<AllSaid, ApiError> {
    let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| {
        malformed(error.line(), "must be a JSON list of keys, or of objects with `key`")
    })?;
    Ok((1..).zip(items.into_iter().map(item)).collect())
}

/// An item of a JSON list.
fn item(item: &RawValue) -> Result<Said, Faults> {
    let mut fields = match serde_json::from_str(item.get()) {
        Ok(Value::String(key)) => return Ok(Said { key_value: key.into(), ..Said::default() }),
        Ok(Value::Object(fields)) => fields,
        _ => return Err(fault("", "must be a key, or an object with one")),
    };
    fields.retain(|name, _| !EXPORTED.contains(&name.as_str()));
    serde_path_to_error::deserialize(Form(Value::Object(fields))).map_err(|error| {
        let (path, said) = (error.path().to_string(), error.inner().to_string());
        // The names of fields that are not ours may be secrets, too.
        if said.starts_with("unknown field") {
            let place = if path.starts_with("quotas[") { "quotas" } else { "" };
            return fault(place, &format!("has a field that {}", words(&said)));
        }
        match said.strip_prefix("missing field `").and_then(|said| said.split('`').next()) {
            Some(name) if path == "." => fault(name, "is required"),
            Some(name) => fault(&format!("{path}.{name}"), "is required"),
            None if said.starts_with("duplicate field") => fault("", "names a field twice"),
            None => fault(&path, &words(&said)),
        }
    })
}

fn csv(text: &str) -> Result<AllSaid, ApiError> {
    let mut records = Records::of(text).filter(Record::says_something);
    let Some(head) = records.next() else { return Ok(Vec::new()) };
    let columns = columns(&head).map_err(|words| malformed(head.line, &words))?;
    let said = |record: Record| (record.line, Said::of(record, &columns));
    Ok(records.map(said).collect())
}

/// The columns that a head names; those without a name must be empty.
fn columns(head: &Record) -> Result<Vec<&'static str>, String> {
    if let Some(wrong) = head.wrong {
        return Err(format!("the head {wrong}"));
    }
    let mut columns = Vec::with_capacity(head.fields.len());
    for (number, name) in (1..).zip(&head.fields) {
        let name = name.trim();
        let known = if name.is_empty() { Some("") } else { column(name) };
        let Some(known) = known else {
            return Err(format!(
                "column {number} of the head is not known; known are key, name, weight, group, \
                 enable_quota, quota_total, quotas, tags, state, note"
            ));
        };
        if !known.is_empty() && columns.contains(&known) {
            return Err(format!("the head names the column `{known}` twice"));
        }
        columns.push(known);
    }
    match columns.contains(&"key_value") {
        true => Ok(columns),
        false => Err("the head names no column `key`; columns have `,` between them".to_owned()),
    }
}

impl Said {
    /// What a record says under these columns.
    fn of(record: Record, columns: &[&str]) -> Result<Self, Faults> {
        if let Some(wrong) = record.wrong {
            return Err(fault("", wrong));
        }
        if record.fields.len() > columns.len() {
            return Err(fault("", "has more fields than the head"));
        }
        let mut said = Self::default();
        let mut faults = Faults::default();
        for (column, value) in columns.iter().zip(record.fields) {
            said.hear(column, &value, &mut faults);
        }
        faults.none_or(said)
    }

    /// One field of CSV; what is empty says nothing.
    fn hear(&mut self, column: &str, value: &str, faults: &mut Faults) {
        if value.is_empty() {
            return;
        }
        let text = || Some(formula::unescaped(value).to_owned());
        let value = value.trim();
        let mut number = |field: &str| {
            let number = value.parse::<u64>().ok();
            if number.is_none() {
                faults.add(field, "must be a whole number that is not negative");
            }
            number
        };
        match column {
            "key_value" => self.key_value = value.into(),
            "name" => self.name = text(),
            "weight" => {
                let weight = number("weight");
                self.weight = weight.map(|weight| u32::try_from(weight).unwrap_or(u32::MAX));
            }
            "quota_group" => self.quota_group = text(),
            "enable_quota" => match value {
                "true" => self.enable_quota = Some(true),
                "false" => self.enable_quota = Some(false),
                _ => faults.add("enable_quota", "must be true or false"),
            },
            "quota_total" => self.quota_total = number("quota_total"),
            "quotas" => match quotas(value) {
                Ok(quotas) => self.quotas = Some(quotas),
                Err(words) => faults.add("quotas", words),
            },
            "tags" => self.tags = Some(value.split_whitespace().map(str::to_owned).collect()),
            "state" => self.state = Some(value.to_owned()),
            "note" => self.note = text(),
            "" => faults.add("", "has a field under no name"),
            _ => {}
        }
    }

    /// The key, with what is said of all where nothing is said of this one.
    fn with(self, defaults: &Defaults) -> Result<ImportedKey, Faults> {
        let mut faults = Faults::default();
        let texts = [
            ("key_value", Some(self.key_value.expose_secret())),
            ("name", self.name.as_deref()),
            ("quota_group", self.quota_group.as_deref()),
            ("note", self.note.as_deref()),
        ];
        for (field, _) in texts.iter().filter(|(_, text)| text.is_some_and(|t| t.contains('\0'))) {
            faults.add(*field, nul::WORDS);
        }
        faults.none_or(())?;
        let state = self.state.as_deref().map(KeyState::from_str).transpose();
        let state = state.map_err(|fault| Faults(vec![fault]))?;
        let some = |text: Option<String>| text.filter(|text| !text.trim().is_empty());
        let group = self.quota_group.filter(|group| !group.is_empty());
        Ok(ImportedKey {
            name: some(self.name),
            secret: self.key_value,
            state: state.or(defaults.state.map(Into::into)),
            weight: self.weight.or(defaults.weight),
            enable_quota: self.enable_quota,
            quota_total: self.quota_total.or(defaults.quota_total()),
            quotas: all(self.quotas.or_else(|| defaults.quotas.clone()).unwrap_or_default()),
            group: group.or_else(|| defaults.quota_group.clone()),
            note: self.note.unwrap_or_default(),
            tags: self.tags.unwrap_or_default(),
        })
    }
}

/// The quotas of a field of CSV: a JSON list of them, as it stands in JSON.
fn quotas(text: &str) -> Result<Vec<Quota>, String> {
    let list = "must be a JSON list of quotas";
    let value: Value = serde_json::from_str(text).map_err(|_| list.to_owned())?;
    Vec::deserialize(Form(value)).map_err(|error| match words(&error.to_string()) {
        words if words == "must be a list" => list.to_owned(),
        words => format!("has one that is not right: {words}"),
    })
}

fn fault(field: &str, message: &str) -> Faults {
    Faults(vec![Fault::new(field, message)])
}

fn malformed(line: usize, message: &str) -> ApiError {
    ApiError::field("text", format!("{message} (line {line})"))
}

#[cfg(test)]
mod tests;
