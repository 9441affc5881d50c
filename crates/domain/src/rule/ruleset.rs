//! The rules of one upstream, with those at hand that a good answer is anything to.

use std::sync::Arc;

use super::CompiledRule;

/// The rules that judge the calls of one upstream, in order.
#[derive(Debug, Default)]
pub struct Ruleset {
    all: Vec<Arc<CompiledRule>>,
    /// Those that concern calls that do not fail. Most rules are about failures, and a good answer
    /// does not look at them.
    of_answers: Vec<Arc<CompiledRule>>,
}

impl Ruleset {
    /// The rules in the order in which they are judged.
    pub fn new(all: Vec<Arc<CompiledRule>>) -> Self {
        let of_answers = all.iter().filter(|rule| rule.concerns_answers()).cloned().collect();
        Self { all, of_answers }
    }

    /// All of them.
    pub fn all(&self) -> &[Arc<CompiledRule>] {
        &self.all
    }

    /// Those that may concern an answer of this status that is no failure to us.
    pub fn of_answers(&self, status: u16) -> &[Arc<CompiledRule>] {
        if status < CompiledRule::FAILED_FROM { &self.of_answers } else { &self.all }
    }
}
