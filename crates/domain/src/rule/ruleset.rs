//! The rules of one upstream, with a separate list of those that concern successful answers.

use std::sync::Arc;

use super::CompiledRule;

/// The rules of one upstream, in order.
#[derive(Debug, Default)]
pub struct Ruleset {
    all: Vec<Arc<CompiledRule>>,
    /// The rules that concern successful answers. Most rules are about failures, and successful
    /// answers skip them.
    of_answers: Vec<Arc<CompiledRule>>,
}

impl Ruleset {
    /// Creates a set from rules in the order of their evaluation.
    pub fn new(all: Vec<Arc<CompiledRule>>) -> Self {
        let of_answers = all.iter().filter(|rule| rule.concerns_answers()).cloned().collect();
        Self { all, of_answers }
    }

    /// Returns all rules.
    pub fn all(&self) -> &[Arc<CompiledRule>] {
        &self.all
    }

    /// Returns the rules that may concern a successful answer with this status.
    pub fn of_answers(&self, status: u16) -> &[Arc<CompiledRule>] {
        if status < CompiledRule::FAILED_FROM { &self.of_answers } else { &self.all }
    }
}
