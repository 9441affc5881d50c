//! Measures what a log entry costs on its way into the database: CPU time of the process and bytes
//! of the file per entry, for batches of several sizes. The entries are those of a gateway with
//! 1,000 provider keys and one busy service key.
//!
//! `cargo bench -p tollgate-store --bench append`; under `valgrind --tool=callgrind` with the
//! arguments `BATCH ENTRIES` it counts instructions of one size. `DATABASE_URL` names a PostgreSQL
//! in the place of an SQLite file of its own; the CPU time of its server is not counted.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a bench reports and may panic")]

use std::{collections::BTreeMap, fs, time::Instant};

use auth::MasterKey;
use domain::{
    Dialect, OutboundPolicy, ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{
        Attempt, Considered, JournalPosition, LogEntry, Origin, Outcome, Served, Usage, UsageSource,
    },
};
use store::{Settings, Store};
use uuid::Uuid;

/// Batch sizes, each with the entries that are stored in batches of it.
const SIZES: [(usize, usize); 3] = [(1, 4_000), (64, 64_000), (512, 128_000)];
/// 2026-01-01 00:00 UTC.
const START_US: i64 = 1_767_225_600_000_000;
/// The time between two calls, in microseconds.
const PACE_US: i64 = 2_000;
/// A clock tick of `/proc/self/stat`, in microseconds.
const TICK_US: u64 = 10_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let sizes = match numbers.as_slice() {
        [batch, entries] => vec![(*batch, *entries)],
        _ => SIZES.to_vec(),
    };
    println!("{:>6} {:>8} {:>12} {:>12} {:>12}", "batch", "entries", "CPU µs", "wall µs", "bytes");
    for (batch, entries) in sizes {
        measure(batch, entries).await;
    }
}

/// Stores `entries` in batches of `batch` in a fresh database and prints the cost of one.
async fn measure(batch: usize, entries: usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tollgate.db");
    #[expect(clippy::disallowed_methods, reason = "names the database that is measured")]
    let url = std::env::var("DATABASE_URL");
    let url = url.unwrap_or_else(|_| format!("sqlite://{}", file.display()));
    let outbound = OutboundPolicy { allow: Vec::new(), own: Vec::new() };
    let store = Store::open(Settings::new(url), &MasterKey::generate(), outbound).await.unwrap();
    let empty = fs::metadata(&file).map_or(0, |meta| meta.len());
    let all: Vec<LogEntry> = (0..entries).map(entry).collect();
    let (cpu, began) = (cpu_us(), Instant::now());
    for (number, batch) in all.chunks(batch).enumerate() {
        let offset = number as u64;
        let position = JournalPosition { journal: "bench".into(), segment: 1, offset };
        store.append_log(batch, position).await.unwrap();
    }
    let (cpu, wall) = (cpu_us() - cpu, began.elapsed().as_micros() as u64);
    store.close().await;
    let bytes = fs::metadata(&file).map_or(0, |meta| meta.len()).saturating_sub(empty);
    let each = |sum: u64| sum as f64 / entries as f64;
    let (cpu, wall, bytes) = (each(cpu), each(wall), each(bytes));
    println!("{batch:>6} {entries:>8} {cpu:>12.1} {wall:>12.1} {bytes:>12.0}");
}

/// The CPU time that this process has used, in microseconds.
fn cpu_us() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    (ticks(11) + ticks(12)) * TICK_US
}

/// An entry as a small chat leaves it.
fn entry(number: usize) -> LogEntry {
    let started_us = START_US + number as i64 * PACE_US;
    let key = (number * 7919 % 1000) as i64 + 1;
    let model = ["gpt-5-mini", "gpt-5", "claude-sonnet-4-5"][number % 3];
    let milliseconds = (started_us / 1000) as u64;
    let id = uuid::Builder::from_unix_timestamp_millis(milliseconds, &random(number)).into_uuid();
    let usage = Usage { input: 900 + number as u64 % 500, output: 300, ..Usage::default() };
    let attempt = Attempt {
        upstream: UpstreamId(1),
        upstream_name: "openai".into(),
        provider_key: Some(ProviderKeyId(key)),
        provider_key_name: Some(format!("key {key}")),
        started_us: 130,
        duration_us: 640_000 + number as u64 % 9_000,
        status: Some(200),
        result: "answered".into(),
        class: None,
        rules: Vec::new(),
        provider_request_id: Some(format!("req_{:024x}", number * 2_654_435_761)),
        usage,
        usage_source: UsageSource::Reported,
        cost_nano: Some(3_000_000),
    };
    LogEntry {
        id,
        request_id: Uuid::from_u128(id.as_u128() ^ 0xffff).to_string(),
        started_us,
        service_key: ServiceKeyId(1),
        service_key_name: "my app".into(),
        owner: UserId(1),
        upstream: Some(attempt.upstream),
        upstream_name: Some(attempt.upstream_name.clone()),
        provider_key: attempt.provider_key,
        provider_key_name: attempt.provider_key_name.clone(),
        model_asked: Some(model.into()),
        model_used: Some(model.into()),
        dialect: Some(Dialect::OpenaiChat),
        method: "POST".into(),
        path: "/v1/chat/completions".into(),
        status: 200,
        outcome: Outcome::Completed,
        bytes_in: 1_100,
        bytes_out: 1_400,
        latency_us: 650_000 + number as u64 % 9_000,
        first_byte_us: Some(420_000),
        streamed: false,
        usage,
        usage_source: UsageSource::Reported,
        cost_nano: Some(3_000_000),
        price_version: Some(7),
        attempts: vec![attempt],
        error: None,
        client_ip: Some("203.0.113.0".into()),
        decision: vec![Considered { candidate: "openai".into(), passed_over: None }],
        tags: Vec::new(),
        metadata: BTreeMap::new(),
        waited_us: 0,
        origin: Origin { program: Some("openai-python".into()), ..Origin::default() },
        served: Served {
            model: Some(model.into()),
            tier: Some("default".into()),
            usage: Some(r#"{"prompt_tokens":900,"completion_tokens":300}"#.into()),
        },
    }
}

/// Ten bytes that differ from one number to the next.
fn random(number: usize) -> [u8; 10] {
    let mixed = (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let mut bytes = [0; 10];
    bytes.copy_from_slice(&mixed.to_be_bytes()[..10]);
    bytes
}
