//! What upstreams and keys were called when they were last used: statistics outlive them.

use std::{
    collections::{BTreeMap, HashMap},
    hash::BuildHasher,
    sync::LazyLock,
};

use domain::log::LogEntry;
use entity::statistics_names::{self, Column};
use foldhash::quality::RandomState;
use parking_lot::Mutex;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect};

use crate::{
    Result,
    bulk::{Bulk, Cell, Insert, Kind},
    text::cleaned,
};

/// Most names that a process remembers to have stored; beyond that it stores them once more.
const REMEMBERED: usize = 200_000;

/// What has a name in statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Named {
    Upstream,
    ProviderKey,
    ServiceKey,
}

impl Named {
    const fn as_str(self) -> &'static str {
        match self {
            Named::Upstream => "upstream",
            Named::ProviderKey => "provider_key",
            Named::ServiceKey => "service_key",
        }
    }
}

/// Names in the order of their keys, so that two instances lock rows in the same order.
pub(super) type Names<'a> = BTreeMap<(Named, i64), &'a str>;

/// The names that this process has stored, so that each is stored once and not with every call.
#[derive(Debug, Default)]
pub(crate) struct StoredNames {
    state: RandomState,
    stored: Mutex<Stored>,
}

#[derive(Debug, Default)]
struct Stored {
    /// Of which state of the database; another file holds other names.
    generation: u64,
    digests: HashMap<(Named, i64), u64, RandomState>,
}

impl StoredNames {
    /// The names in these entries that are not stored yet.
    pub(super) fn news<'a>(&self, generation: u64, entries: &[&'a LogEntry]) -> Names<'a> {
        let stored = self.stored.lock();
        let known = |key: &(Named, i64), name: &str| {
            let digest = stored.digests.get(key);
            stored.generation == generation && digest == Some(&self.state.hash_one(name))
        };
        let mut news = Names::new();
        for entry in entries {
            let upstream = entry.upstream.zip(entry.upstream_name.as_deref());
            let key = entry.provider_key.zip(entry.provider_key_name.as_deref());
            let named = [
                upstream.map(|(id, name)| ((Named::Upstream, id.0), name)),
                key.map(|(id, name)| ((Named::ProviderKey, id.0), name)),
                Some(((Named::ServiceKey, entry.service_key.0), entry.service_key_name.as_str())),
            ];
            let new = named.into_iter().flatten().filter(|(key, name)| !known(key, name));
            news.extend(new);
        }
        news
    }

    /// Notes that these names are stored.
    pub(super) fn note(&self, generation: u64, names: &Names<'_>) {
        let mut stored = self.stored.lock();
        if stored.generation != generation || stored.digests.len() > REMEMBERED {
            stored.digests.clear();
            stored.generation = generation;
        }
        let digests = names.iter().map(|(key, name)| (*key, self.state.hash_one(*name)));
        stored.digests.extend(digests);
    }
}

static STORE: LazyLock<Insert> = LazyLock::new(|| {
    Insert::new(
        "statistics_names",
        &[("kind", Kind::Text), ("id", Kind::Big), ("name", Kind::Text)],
        "ON CONFLICT (kind, id) DO UPDATE SET name = excluded.name",
    )
});

/// Stores names in the place of those before.
pub(super) async fn store(tx: &mut Bulk, names: &Names<'_>) -> Result<()> {
    let cells = names.iter().flat_map(|((kind, id), name)| {
        [kind.as_str().into(), Cell::Int(*id), Cell::Text(cleaned(name))]
    });
    tx.insert(&STORE, cells.collect()).await?;
    Ok(())
}

/// What these were called when they were last used.
pub(crate) async fn last(
    db: &impl ConnectionTrait,
    kind: Named,
    ids: impl IntoIterator<Item = i64>,
) -> Result<Vec<(i64, String)>> {
    Ok(statistics_names::Entity::find()
        .select_only()
        .columns([Column::Id, Column::Name])
        .filter(Column::Kind.eq(kind.as_str()))
        .filter(Column::Id.is_in(ids))
        .into_tuple()
        .all(db)
        .await?)
}
