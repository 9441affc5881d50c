//! The built-in error tables: answers of providers, as one file of data. Rows of an upstream take
//! precedence.

use std::sync::LazyLock;

use serde::Deserialize;

use super::{ErrorClass, ErrorRule};
use crate::{Dialect, Provider, Upstream};

/// The data, compiled in so that it matches the program.
const FILE: &str = include_str!("../../presets/errors.json");

/// The tables.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorTables {
    openai: Vec<Row>,
    anthropic: Vec<Row>,
    gemini: Vec<Row>,
    /// Providers that speak the dialect of another one.
    compatible: Vec<Row>,
    /// The meaning of statuses in general.
    any: Vec<Row>,
}

/// A row and the page of the provider that it follows.
#[derive(Debug, Deserialize)]
#[cfg_attr(not(test), expect(dead_code, reason = "the source is there for who reads the file"))]
struct Row {
    #[serde(flatten)]
    rule: ErrorRule,
    source: String,
}

/// The parts of a failed answer that rows compare.
#[derive(Debug, Clone, Default)]
pub struct Said<'a> {
    /// Its status.
    pub status: Option<u16>,
    /// All names of the error: code, type, status, reason.
    pub names: Vec<&'a str>,
    /// The message, for people.
    pub message: &'a str,
    /// The body, in lowercase.
    pub body: &'a str,
}

impl ErrorTables {
    fn all() -> &'static Self {
        static ALL: LazyLock<ErrorTables> =
            LazyLock::new(|| serde_json::from_str(FILE).expect("a test reads the same text"));
        &ALL
    }

    /// Returns the matching row for an answer of `upstream`; `None` if only the status decides.
    pub fn find(upstream: &Upstream, said: &Said<'_>) -> Option<&'static ErrorRule> {
        let all = Self::all();
        let of = |dialect| -> &[Row] {
            match dialect {
                Dialect::OpenaiChat | Dialect::OpenaiResponses => &all.openai,
                Dialect::AnthropicMessages => &all.anthropic,
                Dialect::Gemini => &all.gemini,
            }
        };
        let own: Vec<&[Row]> = match upstream.provider {
            Provider::Openai => vec![&all.openai],
            Provider::Anthropic => vec![&all.anthropic],
            Provider::Gemini => vec![&all.gemini],
            Provider::Custom => {
                let dialects = upstream.dialects.iter().map(|dialect| of(*dialect));
                std::iter::once(all.compatible.as_slice()).chain(dialects).collect()
            }
        };
        let rows = own.into_iter().chain([all.any.as_slice()]).flatten();
        rows.map(|row| &row.rule).find(|rule| rule.fits(said))
    }
}

impl ErrorRule {
    /// Most rows of one upstream.
    pub const PER_UPSTREAM_MAX: usize = 100;

    /// Whether all conditions of the row hold.
    pub fn fits(&self, said: &Said<'_>) -> bool {
        let begins = |start: &str| {
            let head = said.message.as_bytes().get(..start.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
        };
        self.status.is_none_or(|status| said.status == Some(status))
            && self.code.as_deref().is_none_or(|code| said.names.contains(&code))
            && self.message.as_deref().is_none_or(begins)
            && self.contains.as_deref().is_none_or(|part| said.body.contains(&part.to_lowercase()))
    }

    /// Returns the first matching row: of the upstream, then of the tables, then of the status
    /// alone.
    pub fn class_of(upstream: &Upstream, said: &Said<'_>) -> ErrorRule {
        let own = upstream.policy.error_rules.iter().find(|rule| rule.fits(said));
        own.or_else(|| ErrorTables::find(upstream, said)).cloned().unwrap_or_else(|| ErrorRule {
            status: said.status,
            code: None,
            contains: None,
            message: None,
            class: said.status.map_or(ErrorClass::Unknown, ErrorClass::of_status),
            of_model: false,
            period: None,
        })
    }

    /// Returns the invalid fields of rows; paths begin with the index (`[2].contains`).
    pub fn faults(rules: &[ErrorRule]) -> crate::Faults {
        let mut faults = crate::Faults::default();
        if rules.len() > Self::PER_UPSTREAM_MAX {
            faults.add("", format!("must be at most {}", Self::PER_UPSTREAM_MAX));
        }
        for (i, rule) in rules.iter().enumerate().take(Self::PER_UPSTREAM_MAX) {
            let texts =
                [("code", &rule.code), ("contains", &rule.contains), ("message", &rule.message)];
            for (member, text) in texts {
                if text.as_ref().is_some_and(|text| text.is_empty() || text.len() > 256) {
                    faults.add(format!("[{i}].{member}"), "must be 1 to 256 bytes");
                }
            }
            if rule.status.is_none() && texts.iter().all(|(_, text)| text.is_none()) {
                let words = "must name a status, code, contains or message: it fits everything";
                faults.add(format!("[{i}]"), words);
            }
            if rule.status.is_some_and(|status| !(400..600).contains(&status)) {
                faults.add(format!("[{i}].status"), "must be 400 to 599");
            }
            if rule.period.is_some() && rule.class != ErrorClass::QuotaExhausted {
                faults.add(format!("[{i}].period"), "goes with the class quota_exhausted only");
            }
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_tables_could_be_an_upstreams_own_and_names_its_source() {
        let all = ErrorTables::all();
        for rows in [&all.openai, &all.anthropic, &all.gemini, &all.compatible, &all.any] {
            let rules: Vec<_> = rows.iter().map(|row| row.rule.clone()).collect();
            assert_eq!(ErrorRule::faults(&rules), crate::Faults::default());
            assert!(rows.iter().all(|row| row.source.starts_with("https://")));
        }
    }

    #[test]
    fn a_row_that_fits_everything_or_nothing_is_refused() {
        for (row, place) in [
            (r#"{"class": "auth"}"#, "[0]"),
            (r#"{"class": "auth", "status": 200}"#, "[0].status"),
            (r#"{"class": "auth", "contains": ""}"#, "[0].contains"),
            (r#"{"class": "auth", "status": 429, "period": "day"}"#, "[0].period"),
        ] {
            let faults = ErrorRule::faults(&[serde_json::from_str(row).unwrap()]);
            assert_eq!(faults.0[0].field, place, "{row}");
        }
    }
}
