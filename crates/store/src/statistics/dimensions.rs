//! The columns by which rows of sums differ, and their codes.

use domain::log::{LogEntry, Outcome, Usage};

/// What does not fit into the bounds is summed under this label.
pub(crate) const OTHER: &str = "(other)";

/// What one entry may add to a sum: no number that was made up can overflow a column and thereby
/// keep its batch out for ever. A million tokens cost less than this, a day is shorter.
pub(crate) const SUMMED_MAX: u64 = Usage::MAX;

/// By what the rows of one set of sums differ, beside upstream, label and class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Breakdown {
    /// By nothing else. The label is the model.
    All,
    /// By owner and service key. The label is the model.
    Callers,
    /// By owner and provider key. The label is the model.
    Keys,
    /// By owner, service key and one of the caller's own tags, which is the label.
    Tags,
}

impl Breakdown {
    /// All of them.
    pub(crate) const ALL: [Breakdown; 4] =
        [Breakdown::All, Breakdown::Callers, Breakdown::Keys, Breakdown::Tags];

    /// The value of the column `breakdown`.
    pub(crate) const fn code(self) -> i64 {
        match self {
            Breakdown::All => 0,
            Breakdown::Callers => 1,
            Breakdown::Keys => 2,
            Breakdown::Tags => 3,
        }
    }
}

/// How calls ended, with the code of each: tens of a class.
const OUTCOMES: [(Outcome, i64); 8] = [
    (Outcome::Completed, 0),
    (Outcome::Refused, 1),
    (Outcome::Failed, 2),
    (Outcome::UpstreamBroke, 3),
    (Outcome::ClientGone, 4),
    (Outcome::TimedOut, 5),
    (Outcome::Revoked, 6),
    (Outcome::Interrupted, 7),
];

/// The class of an entry: how it ended (tens) and the hundred of its status (ones).
pub(crate) fn class(entry: &LogEntry) -> i64 {
    outcome_code(entry.outcome) * 10 + i64::from(entry.status / 100).min(9)
}

/// The code of an outcome.
pub(crate) fn outcome_code(outcome: Outcome) -> i64 {
    OUTCOMES.iter().find(|(known, _)| *known == outcome).map_or(2, |(_, code)| *code)
}

/// The outcome with a code.
pub(crate) fn outcome_of(code: i64) -> Outcome {
    OUTCOMES.iter().find(|(_, known)| *known == code).map_or(Outcome::Failed, |(known, _)| *known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_a_code_of_its_own() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome_of(outcome_code(outcome)), outcome);
        }
    }
}
