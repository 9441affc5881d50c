//! The models that a provider lists itself, as they are remembered for a while. `model_question` asks
//! for them.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How long a list is believed, and how long it is not asked for again after that failed.
const FRESH_FOR: Duration = Duration::from_secs(600);
const FAILED_FOR: Duration = Duration::from_secs(30);
/// What is known of the list of one provider.
#[derive(Debug, Default)]
pub(crate) struct ProviderModels {
    known: Mutex<Known>,
    /// Held by the one call that asks.
    pub(crate) asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    names: Option<(Instant, Arc<BTreeSet<String>>)>,
    failed: Option<(Instant, String)>,
}

impl ProviderModels {
    /// The names as they are known, and whether it is time to ask for them.
    pub(crate) fn known(&self) -> (Option<Arc<BTreeSet<String>>>, bool) {
        let known = self.known.lock();
        let fresh = known.names.as_ref().is_some_and(|(at, _)| at.elapsed() < FRESH_FOR);
        let failed = known.failed.as_ref().is_some_and(|(at, _)| at.elapsed() < FAILED_FOR);
        (known.names.as_ref().map(|(_, names)| names.clone()), !fresh && !failed)
    }

    /// Remembers what the provider answered: the names, or why there are none.
    pub(crate) fn heard(&self, asked: Result<&Arc<BTreeSet<String>>, &str>) {
        let mut known = self.known.lock();
        match asked {
            Ok(names) => {
                *known = Known { names: Some((Instant::now(), names.clone())), failed: None };
            }
            Err(words) => known.failed = Some((Instant::now(), words.to_owned())),
        }
    }
}
