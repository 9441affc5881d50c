//! What happens when nothing goes wrong but the end of the process.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::super::Health;
use super::*;

#[tokio::test]
async fn what_was_settled_is_drained_once() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, mut drain) = open(dir.path());
    for n in 0..30 {
        call(&journal, n).await;
    }
    assert_eq!(journal.len(), 30);

    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);

    ledger.has(&(0..30).map(entry).collect::<Vec<_>>());
    assert_eq!((ledger.repeats, journal.len()), (0, 0));
    assert!(journal.is_empty());
}

#[tokio::test]
async fn the_drain_wakes_when_something_comes() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, mut drain) = open(dir.path());
    let waiting = tokio::spawn(async move { drain.next_batch(10).await.unwrap() });
    tokio::task::yield_now().await;

    call(&journal, 1).await;

    let batch = tokio::time::timeout(PATIENCE, waiting).await;
    assert_eq!(batch.unwrap().unwrap().entries, [entry(1)]);
}

#[tokio::test]
async fn a_restart_goes_on_where_the_database_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    {
        let (journal, mut drain) = open(dir.path());
        for n in 0..40 {
            call(&journal, n).await;
        }
        for _ in 0..3 {
            let batch = drain.batch_now(7).unwrap().unwrap();
            ledger.commit(&batch);
            drain.release(&batch);
        }
    }

    let (journal, mut drain) = open(dir.path());
    ledger.resume(&mut drain);
    assert_eq!(journal.len(), 19);
    ledger.drain(&mut drain);

    ledger.has(&(0..40).map(entry).collect::<Vec<_>>());
    assert_eq!((ledger.repeats, journal.len()), (0, 0));
    assert_eq!(segments(&journal).len(), 1, "what is done with is deleted");
}

#[tokio::test]
async fn without_a_position_everything_that_is_left_comes_again() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (journal, mut drain) = Journal::open(Settings::new(dir.path())).unwrap();
        call(&journal, 1).await;
        call(&journal, 2).await;
        Ledger::default().drain(&mut drain);
    }
    let (journal, mut drain) = open(dir.path());
    assert_eq!(journal.len(), 2);
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&[entry(1), entry(2)]);
}

#[tokio::test]
async fn a_full_segment_is_followed_by_the_next_and_deleted_when_drained() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, mut drain) = open(dir.path());
    for n in 0..100 {
        call(&journal, n).await;
    }
    let before = (segments(&journal).len(), journal.bytes());
    assert!(before.0 > 5, "there were only {} segments", before.0);

    Ledger::default().drain(&mut drain);

    assert_eq!(segments(&journal).len(), 1);
    assert!(journal.bytes() <= 4 << 10, "{} bytes are left", journal.bytes());
}

#[tokio::test]
async fn a_call_that_had_begun_is_interrupted_exactly_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    {
        let (journal, mut drain) = open(dir.path());
        journal.intend(&intent(&entry(1))).await.unwrap();
        call(&journal, 2).await;
        ledger.drain(&mut drain);
        journal.intend(&intent(&entry(3))).await.unwrap();
    }
    for _ in 0..3 {
        let (_journal, mut drain) = open(dir.path());
        ledger.resume(&mut drain);
        ledger.drain(&mut drain);
    }
    ledger.has(&[interrupted(&entry(1)), entry(2), interrupted(&entry(3))]);
    assert_eq!(ledger.repeats, 0);
}

#[tokio::test]
async fn a_long_call_outlives_the_segment_it_began_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    {
        let (journal, mut drain) = open(dir.path());
        (journal.intend(&intent(&entry(1000))).await).unwrap();
        (journal.intend(&intent(&entry(1001))).await).unwrap();
        for n in 0..100 {
            call(&journal, n).await;
            ledger.drain(&mut drain);
        }
        assert!(!segments(&journal).contains(&1), "its segment is gone");
        journal.settle(&entry(1001)).await.unwrap();
    }
    let (_journal, mut drain) = open(dir.path());
    ledger.resume(&mut drain);
    ledger.drain(&mut drain);
    let mut expected: Vec<_> = (0..100).chain([1001]).map(entry).collect();
    expected.push(interrupted(&entry(1000)));
    ledger.has(&expected);
    assert_eq!(ledger.repeats, 0);
}

#[tokio::test]
async fn interrupted_calls_survive_a_crash_of_the_recovery() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (journal, _drain) = open(dir.path());
        journal.intend(&intent(&entry(1))).await.unwrap();
    }
    for _ in 0..5 {
        drop(open(dir.path()));
    }
    let (journal, mut drain) = open(dir.path());
    assert_eq!(journal.len(), 1);
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&[interrupted(&entry(1))]);
}

#[tokio::test]
async fn the_journal_of_a_dead_instance_is_adopted_and_that_of_a_living_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (first, mut first_drain) = open(dir.path());
    let (second, second_drain) = open(dir.path());
    call(&first, 1).await;
    call(&second, 2).await;
    second.intend(&intent(&entry(3))).await.unwrap();
    assert_eq!(first_drain.journals().len(), 1);

    let mut ledger = Ledger::default();
    first_drain.adopt().unwrap();
    ledger.drain(&mut first_drain);
    ledger.has(&[entry(1)]);

    drop((second, second_drain));
    first_drain.adopt().unwrap();
    assert_eq!(first_drain.journals().len(), 2);
    ledger.drain(&mut first_drain);

    ledger.has(&[entry(1), entry(2), interrupted(&entry(3))]);
    assert_eq!((ledger.repeats, first.len()), (0, 0));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "it is removed");
}

#[tokio::test(start_paused = true)]
async fn the_drain_finds_an_instance_that_died_while_it_was_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let (_first, mut drain) = open(dir.path());
    {
        let (second, _drain) = open(dir.path());
        call(&second, 2).await;
    }
    // The clock runs by itself while everybody waits.
    let batch = drain.next_batch(10).await.unwrap();
    assert_eq!(batch.entries, [entry(2)]);
}

#[tokio::test]
async fn two_journals_that_were_left_are_both_drained_by_one_start() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (first, _drain) = open(dir.path());
        let (second, _drain) = open(dir.path());
        call(&first, 1).await;
        call(&second, 2).await;
        second.intend(&intent(&entry(3))).await.unwrap();
    }
    let (journal, mut drain) = open(dir.path());
    assert_eq!(journal.len(), 3);
    let mut ledger = Ledger::default();
    ledger.resume(&mut drain);
    ledger.drain(&mut drain);
    ledger.has(&[entry(1), entry(2), interrupted(&entry(3))]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_journal_over_its_cap_refuses_calls_until_it_is_drained() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings { cap: 20 << 10, ..small(dir.path()) };
    let (journal, mut drain) = Journal::open(settings).unwrap();
    let (mut n, mut ledger) = (0, Ledger::default());
    let under_way = entry(1 << 64);
    journal.intend(&intent(&under_way)).await.unwrap();
    while journal.intend(&intent(&entry(n))).await.is_ok() {
        journal.settle(&entry(n)).await.unwrap();
        n += 1;
    }
    assert!(n > 10, "only {n} calls fitted");
    assert_eq!(journal.health(), Health::Full);
    journal.settle(&under_way).await.expect("a call under way is settled");

    ledger.drain(&mut drain);

    assert_eq!(journal.health(), Health::Good);
    call(&journal, n).await;
    assert_eq!(ledger.rows.len() as u128, n + 1);
}

#[tokio::test]
async fn only_the_owner_may_read_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("journal");
    let (journal, _drain) = open(&root);
    call(&journal, 1).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let own = &writer(&journal).dir;
    assert_eq!((mode(&root), mode(own)), (0o700, 0o700));
    for file in fs::read_dir(own).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), 0o600);
    }
}
