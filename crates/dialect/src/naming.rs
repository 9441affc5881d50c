//! Translates names of tools to a target and back.
//!
//! A target may allow fewer characters than the client used, and may have no namespaces or
//! free-form tools. [`Names`] remembers the replacements for one call, so that the answer contains
//! the client's names.

use std::{borrow::Cow, collections::HashMap};

use crate::chat::Name;

/// The names that a dialect allows for tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// Letters, digits, `_` and `-`, at most 64.
    Openai,
    /// Letters, digits, `_` and `-`, at most 128.
    Anthropic,
    /// Also `.` and `:`, at most 64; begins with a letter or `_`.
    Gemini,
}

/// The names sent to the target instead of the client's names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// A unique string of letters and digits; decoders make ids of it if the provider gives none.
    pub unique: String,
    /// The model as its target calls it, for signatures that name their model.
    pub model: String,
    told: Vec<(String, Name<'static>)>,
    /// The index in `told` of a name: by the sent name, and by the client's name (which may occur
    /// several times, in namespaces).
    by_told: HashMap<String, usize>,
    by_text: HashMap<String, Vec<usize>>,
}

impl Names {
    /// Creates an empty set of names for a call to `model`.
    pub(crate) fn of_model(model: &str) -> Self {
        Self { model: model.to_owned(), ..Self::default() }
    }

    /// Returns the name to send instead of `name`. A namespace becomes `<namespace>__<name>`,
    /// invalid characters become `_`, and a name that is too long or already used for another tool
    /// is cut to its first `max - 9` characters, followed by `_` and eight hexadecimal digits of
    /// the SHA-256 of the whole.
    pub fn tell(&mut self, name: &Name<'_>, rule: NameRule) -> String {
        let mut places = self.by_text.get(&*name.text).into_iter().flatten();
        if let Some(&place) = places.find(|&&place| same(&self.told[place].1, name)) {
            return self.told[place].0.clone();
        }
        let whole: Cow<'_, str> = match &name.namespace {
            Some(namespace) => Cow::Owned(format!("{namespace}__{}", name.text)),
            None => Cow::Borrowed(&name.text),
        };
        let mut told = rule.fit(&whole);
        if told.len() > rule.max() || self.by_told.contains_key(&told) {
            told = rule.cut(told, &whole);
        }
        let place = self.told.len();
        self.by_told.entry(told.clone()).or_insert(place);
        self.by_text.entry(name.text.to_string()).or_default().push(place);
        self.told.push((told.clone(), name.clone().into_owned()));
        told
    }

    /// Returns the client's name for the sent name `told`.
    pub fn back<'a>(&self, told: Cow<'a, str>) -> Name<'a> {
        match self.by_told.get(&*told) {
            Some(&place) => self.told[place].1.clone(),
            None => Name::plain(told),
        }
    }
}

impl NameRule {
    const fn max(self) -> usize {
        match self {
            NameRule::Openai | NameRule::Gemini => 64,
            NameRule::Anthropic => 128,
        }
    }

    fn fit(self, name: &str) -> String {
        let allowed = |c: char| {
            c.is_ascii_alphanumeric()
                || matches!(c, '_' | '-')
                || (self == NameRule::Gemini && matches!(c, '.' | ':'))
        };
        let mut fit: String = name.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
        let begins = |c: char| c.is_ascii_alphabetic() || c == '_';
        if self == NameRule::Gemini && !fit.starts_with(begins) {
            fit.insert(0, '_');
        }
        fit
    }

    fn cut(self, mut fit: String, name: &str) -> String {
        fit.truncate(self.max() - 9);
        fit.push('_');
        let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        fit.extend(digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")));
        fit
    }
}

/// Whether two names mean the same tool. The history does not always contain the kind of a tool.
fn same(known: &Name<'_>, name: &Name<'_>) -> bool {
    known.text == name.text && known.namespace == name.namespace
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(names: &mut Names, text: &str, rule: NameRule) -> String {
        names.tell(&Name::plain(text), rule)
    }

    #[test]
    fn names_that_fit_stay_and_the_others_come_back() {
        let mut names = Names::default();
        assert_eq!(tell(&mut names, "get_weather", NameRule::Openai), "get_weather");
        assert_eq!(tell(&mut names, "mcp.files/read", NameRule::Openai), "mcp_files_read");
        assert_eq!(tell(&mut names, "mcp.files/read", NameRule::Openai), "mcp_files_read");
        assert_eq!(names.back("mcp_files_read".into()).text, "mcp.files/read");
        assert_eq!(names.back("get_weather".into()), Name::plain("get_weather"));
        assert_eq!(names.back("unheard_of".into()), Name::plain("unheard_of"));
        let gemini = &mut Names::default();
        assert_eq!(tell(gemini, "a.b:c/d", NameRule::Gemini), "a.b:c_d");
        assert_eq!(tell(gemini, "1st", NameRule::Gemini), "_1st");
    }

    #[test]
    fn long_names_are_cut_and_two_names_never_become_one() {
        let mut names = Names::default();
        let long = "x".repeat(70);
        let told = tell(&mut names, &long, NameRule::Openai);
        assert_eq!((told.len(), &told[..56]), (64, format!("{}_", "x".repeat(55)).as_str()));
        assert_eq!(names.back(told.into()).text, long);
        assert_eq!(tell(&mut names, &long[..65], NameRule::Anthropic).len(), 65);
        assert_eq!(tell(&mut names, "a.b", NameRule::Openai), "a_b");
        let second = tell(&mut names, "a:b", NameRule::Openai);
        assert_ne!(second, "a_b");
        assert_eq!(names.back(second.into()).text, "a:b");
    }

    #[test]
    fn a_namespace_is_part_of_the_name() {
        let mut names = Names::default();
        let name = Name { namespace: Some("files".into()), ..Name::plain("read") };
        assert_eq!(names.tell(&name, NameRule::Anthropic), "files__read");
        assert_eq!(names.back("files__read".into()), name);
    }
}
