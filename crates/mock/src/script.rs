//! What the mock is told beforehand.

use std::{collections::HashMap, time::Duration};

use crate::Behaviour;

/// How the mock behaves unless a call says otherwise.
#[derive(Debug, Clone)]
pub struct Script {
    pub(crate) pace: Duration,
    pub(crate) key_needed: bool,
    pub(crate) recorded: usize,
    pub(crate) keys: HashMap<String, Behaviour>,
}

impl Default for Script {
    /// No pause between events, a key is needed, the last 10,000 requests are recorded.
    fn default() -> Self {
        Script { pace: Duration::ZERO, key_needed: true, recorded: 10_000, keys: HashMap::new() }
    }
}

impl Script {
    /// The time between two events of a stream.
    pub fn pace(mut self, pace: Duration) -> Script {
        self.pace = pace;
        self
    }

    /// Answers calls without a provider key, too.
    pub fn without_keys(mut self) -> Script {
        self.key_needed = false;
        self
    }

    /// How many requests are remembered; 0 for none, as a bench wants it.
    pub fn recorded(mut self, requests: usize) -> Script {
        self.recorded = requests;
        self
    }

    /// How calls with this key go, whatever its own text says.
    pub fn key(mut self, key: impl Into<String>, behaviours: &str) -> Script {
        self.keys.insert(key.into(), Behaviour::parse(behaviours));
        self
    }
}
