//! Segments with missing and wrong bytes.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use super::super::record::{self, Kind};
use super::*;

/// A segment's bytes with the settle records of `entries`, and where each of them ends.
fn segment(entries: &[LogEntry]) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut ends, mut one) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let json = serde_json::to_vec(entry).unwrap();
        record::build(&mut one, Kind::Settle, entry.id, |out| out.extend(json));
        bytes.extend_from_slice(&one);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

/// The entries that a journal gives whose only segment has these bytes.
fn given(bytes: &[u8]) -> Vec<LogEntry> {
    given_of(&[bytes])
}

fn given_of(segments: &[&[u8]]) -> Vec<LogEntry> {
    let dir = tempfile::tempdir().unwrap();
    let own: PathBuf = dir.path().join(Uuid::nil().to_string());
    fs::create_dir(&own).unwrap();
    for (at, bytes) in segments.iter().enumerate() {
        fs::write(own.join(format!("{:08}.seg", at + 1)), bytes).unwrap();
    }
    let (journal, mut drain) = open(dir.path());
    let mut entries = Vec::new();
    while let Some(batch) = drain.batch_now(2).unwrap() {
        entries.extend(batch.entries.clone());
        drain.release(&batch);
    }
    assert_eq!(journal.len(), 0);
    entries
}

#[test]
fn a_tail_torn_at_any_byte_loses_only_the_torn_record() {
    let entries: Vec<_> = (0..3).map(entry).collect();
    let (bytes, ends) = segment(&entries);
    for length in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        assert_eq!(given(&bytes[..length]), entries[..whole], "{length} bytes");
    }
}

#[tokio::test]
async fn a_torn_tail_is_cut_off_and_never_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = {
        let (journal, _drain) = open(dir.path());
        call(&journal, 1).await;
        call(&journal, 2).await;
        writer(&journal).dir.join("00000001.seg")
    };
    let length = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(length - 1).unwrap();

    let (_journal, mut drain) = open(dir.path());

    assert!(fs::metadata(&path).unwrap().len() < length - 100);
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&[entry(1), interrupted(&entry(2))]);
}

#[test]
fn damaged_records_are_passed_over_and_those_behind_them_are_found() {
    let entries: Vec<_> = (0..4).map(entry).collect();
    let (good, ends) = segment(&entries);
    for at in ends[0]..ends[1] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x55;
        let expected = [&entries[..1], &entries[2..]].concat();
        assert_eq!(given(&bytes), expected, "byte {at} was damaged");
    }
}

#[test]
fn a_segment_that_was_given_up_in_the_middle_hides_nothing_in_the_next() {
    let entries: Vec<_> = (0..4).map(entry).collect();
    let (first, ends) = segment(&entries[..2]);
    let (second, _) = segment(&entries[2..]);
    let given = given_of(&[&first[..ends[0] + 50], &second]);
    assert_eq!(given, [&entries[..1], &entries[2..]].concat());
}

#[test]
fn a_length_that_is_a_lie_is_damage() {
    let entries: Vec<_> = (0..2).map(entry).collect();
    let (mut bytes, _) = segment(&entries);
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(given(&bytes), entries[1..]);
    bytes[8..12].copy_from_slice(&1_000_000_u32.to_le_bytes());
    assert_eq!(given(&bytes), entries[1..]);
}

#[test]
fn records_of_a_later_version_are_left_alone() {
    let entries: Vec<_> = (0..2).map(entry).collect();
    let (mut bytes, ends) = segment(&entries);
    bytes[7] = 9;
    let sum = crc32c::crc32c(&bytes[6..ends[0]]);
    bytes[2..6].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(given(&bytes), entries[1..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_prefix_of_the_file_gives_a_prefix_of_the_entries(
        paths in prop::collection::vec(".{0,300}", 1..12),
        cut in 0.0..=1.0,
    ) {
        let entries: Vec<LogEntry> = (0..).zip(&paths)
            .map(|(n, path)| LogEntry { path: path.clone(), ..entry(n) })
            .collect();
        let (bytes, ends) = segment(&entries);
        let length = (bytes.len() as f64 * cut) as usize;
        let whole = ends.iter().filter(|end| **end <= length).count();
        prop_assert_eq!(given(&bytes[..length]), &entries[..whole]);
    }

    #[test]
    fn whatever_lies_in_a_segment_the_journal_opens(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert_eq!(given(&bytes), []);
    }

    #[test]
    fn an_intent_is_read_as_it_was_written(
        texts in prop::array::uniform4(".{0,50}"),
        some in prop::option::of(".{0,50}"),
        numbers in any::<[i64; 3]>(),
        dialect in prop::option::of(prop::sample::select(&Dialect::ALL)),
    ) {
        let intent = Intent {
            id: Uuid::from_u128(9),
            started_us: numbers[0],
            request_id: &texts[0],
            service_key: ServiceKeyId(numbers[1]),
            service_key_name: &texts[1],
            owner: UserId(numbers[2]),
            model_asked: some.as_deref(),
            dialect,
            method: &texts[2],
            path: &texts[3],
            client_ip: some.as_deref(),
            bytes_in: numbers[0] as u64,
            origin: [None; 6],
            reserved: None,
        };
        let mut bytes = Vec::new();
        intent.write(&mut bytes);
        prop_assert_eq!(Intent::read(intent.id, &bytes), Some(intent.clone()));
        for length in 0..bytes.len() {
            prop_assert_eq!(Intent::read(intent.id, &bytes[..length]), None);
        }
    }
}
