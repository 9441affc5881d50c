//! The journal under every kind of misfortune.

mod child;
mod damage;
mod disk;
mod kill;
mod life;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::log::{JournalPosition, LogEntry, Outcome};
use domain::{Dialect, ServiceKeyId, UserId};
use uuid::Uuid;

use super::{Batch, Drain, Intent, Journal, Settings};

/// Longer than anything here takes, unless it never comes.
const PATIENCE: Duration = Duration::from_secs(180);

/// A log entry like any other, the `n`th.
fn entry(n: u128) -> LogEntry {
    let intent = Intent {
        id: Uuid::from_u128(n),
        started_us: 1_700_000_000_000_000 + n as i64,
        request_id: "an-id-of-the-client",
        service_key: ServiceKeyId(7),
        service_key_name: "my app",
        owner: UserId(1),
        model_asked: Some("gpt-5"),
        dialect: Some(Dialect::OpenaiChat),
        method: "POST",
        path: "/v1/chat/completions",
        client_ip: Some("192.0.2.1"),
        bytes_in: 1024,
        origin: [Some("a-session"), None, None, None, Some("codex"), None],
        reserved: None,
    };
    LogEntry { outcome: Outcome::Completed, status: 200, error: None, ..intent.interrupted() }
}

/// The intent that came before `entry`.
fn intent(entry: &LogEntry) -> Intent<'_> {
    Intent {
        id: entry.id,
        started_us: entry.started_us,
        request_id: &entry.request_id,
        service_key: entry.service_key,
        service_key_name: &entry.service_key_name,
        owner: entry.owner,
        model_asked: entry.model_asked.as_deref(),
        dialect: entry.dialect,
        method: &entry.method,
        path: &entry.path,
        client_ip: entry.client_ip.as_deref(),
        bytes_in: entry.bytes_in,
        origin: entry.origin.texts(),
        reserved: None,
    }
}

/// What the process leaves behind when it ends in the middle of the call of `entry`.
fn interrupted(entry: &LogEntry) -> LogEntry {
    intent(entry).interrupted()
}

/// Segments of a few records.
fn small(dir: &Path) -> Settings {
    Settings { segment_bytes: 4 << 10, ..Settings::new(dir) }
}

fn open(dir: &Path) -> (Journal, Drain) {
    Journal::open(small(dir)).unwrap()
}

/// One call from begin to end.
async fn call(journal: &Journal, n: u128) {
    let entry = entry(n);
    journal.intend(&intent(&entry)).await.unwrap();
    journal.settle(&entry).await.unwrap();
}

/// A database that remembers what it was given.
#[derive(Debug, Default)]
struct Ledger {
    rows: HashMap<Uuid, LogEntry>,
    positions: HashMap<String, JournalPosition>,
    /// Entries that came although they were there.
    repeats: usize,
}

impl Ledger {
    fn commit(&mut self, batch: &Batch) {
        for entry in &batch.entries {
            let row = self.rows.entry(entry.id);
            self.repeats += usize::from(matches!(row, Entry::Occupied(_)));
            row.or_insert_with(|| entry.clone());
        }
        let position = batch.position.clone();
        self.positions.insert(position.journal.clone(), position);
    }

    /// Takes everything that is there.
    fn drain(&mut self, drain: &mut Drain) {
        while let Some(batch) = drain.batch_now(7).unwrap() {
            self.commit(&batch);
            drain.release(&batch);
        }
    }

    /// Takes everything that comes.
    async fn drain_for_ever(&mut self, drain: &mut Drain) {
        loop {
            let batch = drain.next_batch(7).await.unwrap();
            self.commit(&batch);
            drain.release(&batch);
        }
    }

    /// Tells a drain that was just opened what is here.
    fn resume(&self, drain: &mut Drain) {
        for journal in drain.journals() {
            if let Some(position) = self.positions.get(&journal) {
                drain.skip_to(position).unwrap();
            }
        }
    }

    fn has(&self, expected: &[LogEntry]) {
        for entry in expected {
            assert_eq!(self.rows.get(&entry.id), Some(entry));
        }
        assert_eq!(self.rows.len(), expected.len());
    }
}

/// Waits until the journal takes calls again.
async fn until_good(journal: &Journal) {
    let wait = async {
        while journal.health() != super::Health::Good {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it recovers by itself");
}

fn segments(journal: &Journal) -> Vec<u64> {
    let list = super::segment::list(&writer(journal).dir).unwrap();
    list.into_keys().collect()
}

fn writer(journal: &Journal) -> &Arc<super::writer::Writer> {
    &journal.0.writer
}
