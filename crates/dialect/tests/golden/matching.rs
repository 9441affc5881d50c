//! Whether a value is what a case expects: the matchers of `golden/README.md`.

use std::collections::BTreeMap;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use regex::Regex;

use crate::json::Json;

/// Strings that earlier steps of a conversation have shown.
pub(crate) type Binds = BTreeMap<String, String>;

/// How an object that names only some members is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Others {
    /// What a client gets: other members may be there.
    Allowed,
    /// What a provider gets: every member must be expected.
    Faulty,
}

/// What differs between the two; nothing where they match.
pub(crate) fn differences(
    want: &Json,
    got: &Json,
    binds: &mut Binds,
    others: Others,
) -> Vec<String> {
    let mut judge = Judge { binds, faults: Vec::new() };
    judge.compare(want, got, "$", others);
    judge.faults
}

struct Judge<'b> {
    binds: &'b mut Binds,
    faults: Vec<String>,
}

impl Judge<'_> {
    fn compare(&mut self, want: &Json, got: &Json, path: &str, others: Others) {
        match want {
            Json::Object(members) => match members.iter().find(|(name, _)| is_matcher(name)) {
                Some((name, operand)) => self.matcher(name, operand, want, got, path, others),
                None => self.object(want, got, path, others),
            },
            Json::List(items) => {
                let Json::List(found) = got else {
                    return self.fault(path, "a list", got);
                };
                if items.len() != found.len() {
                    self.fault(path, &format!("{} entries", items.len()), got);
                }
                for (n, (want, got)) in items.iter().zip(found).enumerate() {
                    self.compare(want, got, &format!("{path}[{n}]"), others);
                }
            }
            _ if want.same(got) => {}
            _ => self.fault(path, &want.to_string(), got),
        }
    }

    fn object(&mut self, want: &Json, got: &Json, path: &str, others: Others) {
        let Json::Object(found) = got else { return self.fault(path, "an object", got) };
        for (name, want) in want.members() {
            let place = format!("{path}.{name}");
            let there = got.member(name);
            if matches!(name.as_str(), "$open" | "$closed") {
                continue;
            }
            if want.member("$absent").is_some() {
                if let Some(got) = there.filter(|got| !got.is_null()) {
                    self.fault(&place, "nothing", got);
                }
            } else if let Some(want) = want.member("$optional") {
                if let Some(got) = there.filter(|got| !got.is_null()) {
                    self.compare(want, got, &place, others);
                }
            } else if let Some(got) = there {
                self.compare(want, got, &place, others);
            } else if !(want.is_null() && others == Others::Allowed) {
                self.faults.push(format!("{place}: {} is missing", short(want)));
            }
        }
        let open = match want.member("$open") {
            Some(open) => open.is_something(),
            None => others == Others::Allowed,
        };
        if open && !want.get("$closed").is_something() {
            return;
        }
        for (name, got) in found {
            if want.member(name).is_none() {
                self.fault(&format!("{path}.{name}"), "no such member", got);
            }
        }
    }

    fn matcher(
        &mut self,
        name: &str,
        operand: &Json,
        want: &Json,
        got: &Json,
        path: &str,
        others: Others,
    ) {
        let good = match name {
            "$any" => is_kind(operand.str(), got),
            "$re" => {
                let pattern = Regex::new(operand.str()).unwrap();
                got.as_text().is_some_and(|text| pattern.is_match(text))
            }
            "$contains" => {
                let needle = operand.str().to_lowercase();
                got.as_text().is_some_and(|text| text.to_lowercase().contains(&needle))
            }
            "$b64" => {
                let standard = want.get("alphabet").str() == "standard";
                let foreign = standard && got.str().contains(['-', '_']);
                let bytes = base64(operand.str());
                !foreign && bytes.is_some() && got.as_text().and_then(base64) == bytes
            }
            "$bind" => match got.as_text().filter(|text| !text.is_empty()) {
                None => false,
                Some(text) => {
                    let known = self.binds.entry(operand.str().to_owned()).or_insert(text.into());
                    known == text
                }
            },
            "$ref" => {
                let known = self.binds.get(operand.str()).map(String::as_str);
                known.is_some() && known == got.as_text()
            }
            "$json" => {
                let Some(Ok(inner)) = got.as_text().map(|text| Json::read(text.as_bytes())) else {
                    return self.fault(path, "JSON in a string", got);
                };
                return self.compare(operand, &inner, &format!("{path}(json)"), Others::Faulty);
            }
            "$unordered" => return self.unordered(operand.items(), got, path, others),
            "$in" | "$oneof" => return self.one_of(operand.items(), got, path, others),
            _ => panic!("{path}: `{name}` is no matcher"),
        };
        if !good {
            self.fault(path, &want.to_string(), got);
        }
    }

    fn one_of(&mut self, options: &[Json], got: &Json, path: &str, others: Others) {
        let mut first = None;
        for option in options {
            match self.tried(option, got, path, others) {
                Ok(()) => return,
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        let first = first.unwrap_or_default();
        self.faults.push(format!("{path}: none of {} ways fits; first: {first}", options.len()));
    }

    fn unordered(&mut self, items: &[Json], got: &Json, path: &str, others: Others) {
        let mut rest: Vec<&Json> = got.items().iter().collect();
        if !matches!(got, Json::List(_)) || rest.len() != items.len() {
            return self.fault(path, &format!("{} entries in any order", items.len()), got);
        }
        for (n, want) in items.iter().enumerate() {
            let place = format!("{path}[{n}]");
            match rest.iter().position(|got| self.tried(want, got, &place, others).is_ok()) {
                Some(at) => drop(rest.remove(at)),
                None => return self.fault(&place, &want.to_string(), got),
            }
        }
    }

    /// Compares on trial: what is bound on the way counts only where it matches.
    fn tried(&mut self, want: &Json, got: &Json, path: &str, others: Others) -> Result<(), String> {
        let mut binds = self.binds.clone();
        let mut judge = Judge { binds: &mut binds, faults: Vec::new() };
        judge.compare(want, got, path, others);
        match judge.faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => {
                *self.binds = binds;
                Ok(())
            }
        }
    }

    fn fault(&mut self, path: &str, want: &str, got: &Json) {
        let want: String = want.chars().take(300).collect();
        self.faults.push(format!("{path}: expected {want}, got {}", short(got)));
    }
}

fn is_matcher(name: &str) -> bool {
    name.starts_with('$') && !matches!(name, "$open" | "$closed" | "$schema" | "$defs" | "$id")
}

fn is_kind(kind: &str, got: &Json) -> bool {
    match kind {
        "any" => true,
        "string" => !got.str().is_empty(),
        "int" => got.int().is_some(),
        "number" => matches!(got, Json::Number(_)),
        "bool" => matches!(got, Json::Bool(_)),
        "object" => matches!(got, Json::Object(_)),
        "array" => matches!(got, Json::List(_)),
        _ => panic!("`{kind}` is no kind"),
    }
}

/// The bytes of base64 in either alphabet, padded or not.
pub(crate) fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    LENIENT.decode(text.trim().replace('-', "+").replace('_', "/")).ok()
}

fn short(value: &Json) -> String {
    let text = value.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of differences.
    fn check(want: &str, got: &str, others: Others, faults: usize) {
        let [want, got] = [want, got].map(|text| Json::read(text.as_bytes()).unwrap());
        let mut binds = Binds::from([("call".to_owned(), "c1".to_owned())]);
        let found = differences(&want, &got, &mut binds, others);
        assert_eq!(found.len(), faults, "{want} / {got}: {found:?}");
    }

    #[test]
    fn what_a_provider_gets_is_closed_and_what_a_client_gets_is_open() {
        let rows = [
            (r#"{"a": 1}"#, r#"{"a": 1.0}"#, 0, 0),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 2}"#, 0, 1),
            (r#"{"a": 1, "b": null}"#, r#"{"a": 1}"#, 0, 1),
            (r#"{"a": 1, "$closed": true}"#, r#"{"a": 1, "b": 2}"#, 1, 1),
            (r#"{"a": 1, "$open": true}"#, r#"{"a": 1, "b": 2}"#, 0, 0),
            (r#"{"a": {"b": 1}}"#, r#"{"a": {"b": 2, "c": 3}}"#, 1, 2),
            (r#"{"a": {"$absent": true}}"#, r#"{"a": null}"#, 0, 0),
            (r#"{"a": {"$absent": true}}"#, r#"{"a": 0}"#, 1, 1),
            (r#"{"a": {"$optional": 1}}"#, "{}", 0, 0),
            (r#"{"a": {"$optional": 1}}"#, r#"{"a": 2}"#, 1, 1),
            ("[1, 2]", "[2, 1]", 2, 2),
            ("[1, 2]", "[1]", 1, 1),
            ("true", "1", 1, 1),
            ("12345678901234567890", "12345678901234567891", 1, 1),
        ];
        for (want, got, open, closed) in rows {
            check(want, got, Others::Allowed, open);
            check(want, got, Others::Faulty, closed);
        }
    }

    #[test]
    fn every_matcher_says_yes_and_no() {
        let rows = [
            (r#"{"$any": "int"}"#, "3", "3.5"),
            (r#"{"$any": "number"}"#, "3.5", "true"),
            (r#"{"$any": "string"}"#, r#""x""#, r#""""#),
            (r#"{"$any": "array"}"#, "[]", "{}"),
            (r#"{"$re": "^a+$"}"#, r#""aa""#, r#""ab""#),
            (r#"{"$contains": "BUSY"}"#, r#""so busy!""#, r#""free""#),
            (r#"{"$json": {"a": 1}}"#, r#""{\"a\": 1}""#, r#""{\"a\": 1, \"b\": 2}""#),
            (r#"{"$json": {}}"#, r#""{}""#, r#""{""#),
            (r#"{"$b64": "-_8="}"#, r#""+/8""#, r#""+/9""#),
            (r#"{"$b64": "-_8=", "alphabet": "standard"}"#, r#""+/8=""#, r#""-_8=""#),
            (r#"{"$in": ["a", "b"]}"#, r#""b""#, r#""c""#),
            (r#"{"$oneof": ["a", {"x": {"$any": "int"}}]}"#, r#"{"x": 1}"#, r#"{"x": "1"}"#),
            (r#"{"$unordered": [1, {"$any": "string"}]}"#, r#"["x", 1]"#, r#"["x", "y"]"#),
            (r#"{"$bind": "call"}"#, r#""c1""#, r#""c2""#),
            (r#"{"$bind": "new"}"#, r#""c2""#, r#""""#),
            (r#"{"$ref": "call"}"#, r#""c1""#, r#""c2""#),
            (r#"{"$ref": "unheard"}"#, r#""c1""#, "null"),
        ];
        for (want, yes, no) in rows.into_iter().filter(|(want, ..)| !want.contains("unheard")) {
            check(want, yes, Others::Faulty, 0);
            check(want, no, Others::Faulty, 1);
        }
        check(r#"{"$ref": "unheard"}"#, r#""c1""#, Others::Allowed, 1);
    }

    #[test]
    fn what_is_bound_once_is_the_same_ever_after() {
        check(r#"[{"$bind": "b"}, {"$bind": "b"}]"#, r#"["x", "x"]"#, Others::Faulty, 0);
        check(r#"[{"$bind": "b"}, {"$ref": "b"}]"#, r#"["x", "y"]"#, Others::Faulty, 1);
        // An alternative that does not fit binds nothing.
        let alternatives =
            r#"[{"$oneof": [[{"$bind": "b"}, 1], [{"$any": "string"}, 2]]}, {"$bind": "b"}]"#;
        check(alternatives, r#"[["x", 2], "y"]"#, Others::Faulty, 0);
    }
}
