//! Bounds how many labels a day has. Models and tags are what callers write; without a bound one
//! caller could make a row of sums for each of its calls. What does not fit is summed as
//! [`OTHER`].

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, LazyLock},
};

use domain::log::LogEntry;
use parking_lot::Mutex;

use super::dimensions::OTHER;
use crate::{
    Result,
    bulk::{Bulk, Cell, Insert, Kind as Column},
    records::Grain,
    text::cleaned,
};

/// Longest label, in bytes.
const LONGEST: usize = 200;
/// Days that a process remembers the labels of.
const DAYS: usize = 16;

/// What a label is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Kind {
    /// A model that an upstream was asked for.
    Model,
    /// A model of a call that reached no upstream: any word.
    Asked,
    /// The key of a tag.
    TagKey,
    /// A tag, `key=value`.
    Tag,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Kind::Model => "model",
            Kind::Asked => "asked",
            Kind::TagKey => "tag_key",
            Kind::Tag => "tag",
        }
    }

    /// Most labels of a day.
    const fn most(self) -> usize {
        match self {
            Kind::Model => 1000,
            Kind::Asked => 100,
            Kind::TagKey => 20,
            Kind::Tag => 1000,
        }
    }
}

/// The labels of each day and kind.
type Days = BTreeMap<(i64, Kind), Arc<HashSet<Arc<str>>>>;

/// The labels that this process knows to be stored.
#[derive(Debug, Default)]
pub(crate) struct Labels(Mutex<(u64, Days)>);

/// The labels of a batch: which are summed by their own name.
#[derive(Debug, Default)]
pub(crate) struct Resolved {
    days: Days,
    /// The tags of the entries that have any, as they are summed.
    tags: HashMap<uuid::Uuid, Vec<String>>,
}

static STORE: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "rollup_labels",
        &[("day_us", Column::Big), ("kind", Column::Text), ("label", Column::Text)],
        "ON CONFLICT (day_us, kind, label) DO NOTHING",
    )
});

impl Labels {
    /// Finds out which labels of `entries` are summed by their own name, and stores those that are
    /// new and fit.
    pub(crate) async fn resolve(
        &self,
        tx: &mut Bulk,
        generation: u64,
        entries: &[&LogEntry],
    ) -> Result<Resolved> {
        let mut resolved = Resolved { days: self.known(generation), tags: HashMap::new() };
        let mut missing: BTreeMap<(i64, Kind), BTreeSet<Cow<'_, str>>> = BTreeMap::new();
        let mut want = |day: i64, kind: Kind, label: Cow<'_, str>| {
            if !resolved.holds(day, kind, &label) && label.len() <= LONGEST {
                missing.entry((day, kind)).or_default().insert(label.into_owned().into());
            }
        };
        for entry in entries {
            let day = Grain::Day.floor(entry.started_us);
            if let Some((kind, model)) = model(entry) {
                want(day, kind, model);
            }
            for (key, value) in &entry.metadata {
                want(day, Kind::TagKey, cleaned(key));
                want(day, Kind::Tag, tag(key, value).into());
            }
        }
        for ((day, kind), labels) in missing {
            resolved.add(tx, day, kind, labels).await?;
        }
        for entry in entries.iter().filter(|entry| !entry.metadata.is_empty()) {
            let tags = resolved.named(entry);
            resolved.tags.insert(entry.id, tags);
        }
        Ok(resolved)
    }

    fn known(&self, generation: u64) -> Days {
        let known = self.0.lock();
        if known.0 == generation { known.1.clone() } else { Days::new() }
    }

    /// Notes that these labels are stored.
    pub(crate) fn note(&self, generation: u64, resolved: Resolved) {
        let mut days = resolved.days;
        while days.len() > DAYS {
            days.pop_first();
        }
        *self.0.lock() = (generation, days);
    }
}

impl Resolved {
    /// The label of the model of an entry.
    pub(super) fn model<'a>(&'a self, entry: &LogEntry) -> &'a str {
        let Some((kind, model)) = model(entry) else { return "" };
        self.find(Grain::Day.floor(entry.started_us), kind, &model).unwrap_or(OTHER)
    }

    /// The tags of an entry.
    pub(super) fn tags<'a>(&'a self, entry: &LogEntry) -> impl Iterator<Item = &'a str> {
        self.tags.get(&entry.id).into_iter().flatten().map(String::as_str)
    }

    fn find(&self, day: i64, kind: Kind, label: &str) -> Option<&str> {
        let known = self.days.get(&(day, kind))?;
        known.get(label).map(|label| &**label)
    }

    fn holds(&self, day: i64, kind: Kind, label: &str) -> bool {
        self.find(day, kind, label).is_some()
    }

    /// Adds those of `wanted` that are stored, and those for which there is room.
    async fn add(
        &mut self,
        tx: &mut Bulk,
        day: i64,
        kind: Kind,
        wanted: BTreeSet<Cow<'_, str>>,
    ) -> Result<()> {
        let at = self.days.entry((day, kind)).or_default();
        if at.len() >= kind.most() {
            return Ok(());
        }
        let stored: Vec<String> = tx.ask(question(kind), &[day]).await?;
        let mut labels: HashSet<Arc<str>> = stored.into_iter().map(Arc::from).collect();
        let mut cells = Vec::new();
        for label in wanted {
            if labels.contains(&*label) || labels.len() >= kind.most() {
                continue;
            }
            labels.insert(Arc::from(&*label));
            cells.extend([day.into(), kind.as_str().into(), Cell::Text(label.into_owned().into())]);
        }
        *at = Arc::new(labels);
        tx.insert(&STORE, cells).await?;
        Ok(())
    }

    /// The tags of an entry as they are summed: each label once.
    fn named(&self, entry: &LogEntry) -> Vec<String> {
        let day = Grain::Day.floor(entry.started_us);
        let name = |(key, value): (&String, &String)| {
            let tag = tag(key, value);
            if !self.holds(day, Kind::TagKey, &cleaned(key)) {
                OTHER.to_owned()
            } else if self.holds(day, Kind::Tag, &tag) {
                tag
            } else {
                format!("{}={OTHER}", cleaned(key))
            }
        };
        let tags: BTreeSet<String> = entry.metadata.iter().map(name).collect();
        tags.into_iter().collect()
    }
}

/// The question for the labels of a kind.
fn question(kind: Kind) -> &'static str {
    match kind {
        Kind::Model => "SELECT label FROM rollup_labels WHERE day_us = $1 AND kind = 'model'",
        Kind::Asked => "SELECT label FROM rollup_labels WHERE day_us = $1 AND kind = 'asked'",
        Kind::TagKey => "SELECT label FROM rollup_labels WHERE day_us = $1 AND kind = 'tag_key'",
        Kind::Tag => "SELECT label FROM rollup_labels WHERE day_us = $1 AND kind = 'tag'",
    }
}

/// The model that an entry is counted by.
fn model(entry: &LogEntry) -> Option<(Kind, Cow<'_, str>)> {
    let model = entry.model_used.as_deref().or(entry.model_asked.as_deref())?;
    let kind = if entry.upstream.is_some() { Kind::Model } else { Kind::Asked };
    (!model.is_empty()).then(|| (kind, cleaned(model)))
}

fn tag(key: &str, value: &str) -> String {
    cleaned(&format!("{key}={value}")).into_owned()
}
