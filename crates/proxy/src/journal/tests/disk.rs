//! Disks that are full, break, come back, or lie.

use std::io::{self, Write as _};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

use super::super::segment::{Disk, RealDisk, Segment};
use super::super::{Durability, Health, JournalError};
use super::*;

const ENOSPC: i32 = 28;
const EIO: i32 = 5;

/// A disk that fails when it is told to.
#[derive(Debug, Default)]
struct Faults {
    /// The error of every append; 0 for none.
    append: AtomicI32,
    /// Whether an append that fails leaves half of its bytes behind.
    half: AtomicBool,
    /// Whether nothing can be cut off.
    no_cut: AtomicBool,
    /// Whether every sync fails.
    no_sync: AtomicBool,
    /// So many syncs fail before they work.
    failing_syncs: AtomicUsize,
    syncs: AtomicU64,
    created: AtomicU64,
    /// While it is set, syncs do not return.
    slow: AtomicBool,
}

impl Faults {
    fn appends(&self, errno: i32) {
        self.append.store(errno, Ordering::SeqCst);
    }
}

#[derive(Debug)]
struct FaultyDisk(Arc<Faults>);

#[derive(Debug)]
struct FaultySegment(Arc<Faults>, Arc<dyn Segment>);

impl Disk for FaultyDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        self.0.created.fetch_add(1, Ordering::SeqCst);
        let real = RealDisk.create(path)?;
        Ok(Arc::new(FaultySegment(Arc::clone(&self.0), real)))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
}

impl Segment for FaultySegment {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.append.load(Ordering::SeqCst) {
            0 => self.1.append(bytes),
            errno => {
                if self.0.half.load(Ordering::SeqCst) {
                    self.1.append(&bytes[..bytes.len() / 2])?;
                }
                Err(io::Error::from_raw_os_error(errno))
            }
        }
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        match self.0.no_cut.load(Ordering::SeqCst) {
            true => Err(io::Error::from_raw_os_error(EIO)),
            false => self.1.cut(length),
        }
    }

    fn sync(&self) -> io::Result<()> {
        while self.0.slow.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        let fails = self.0.no_sync.load(Ordering::SeqCst)
            || (self.0.failing_syncs)
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        match fails {
            true => Err(io::Error::from_raw_os_error(EIO)),
            false => self.1.sync(),
        }
    }
}

fn open_faulty(dir: &Path, durability: Durability) -> (Arc<Faults>, Journal, Drain) {
    let faults = Arc::new(Faults::default());
    let disk = Box::new(FaultyDisk(Arc::clone(&faults)));
    let settings = Settings { durability, ..small(dir) };
    let (journal, drain) = Journal::open_on(settings, disk).unwrap();
    (faults, journal, drain)
}

/// A failure while a call is under way: new calls are refused, the call is settled in memory, and
/// everything is on file once the disk is well.
async fn a_failing_disk_loses_nothing(errno: i32, half: bool, no_cut: bool, health: Health) {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    {
        let (faults, journal, _drain) = open_faulty(dir.path(), Durability::Process);
        call(&journal, 1).await;
        journal.intend(&intent(&entry(2))).await.unwrap();
        faults.half.store(half, Ordering::SeqCst);
        faults.no_cut.store(no_cut, Ordering::SeqCst);
        faults.appends(errno);

        assert!(journal.intend(&intent(&entry(3))).await.is_err());
        assert!(journal.settle(&entry(2)).await.is_err());
        assert!(journal.intend(&intent(&entry(4))).await.is_err());
        assert_eq!((journal.health(), journal.len()), (health, 2));

        faults.appends(0);
        until_good(&journal).await;
        call(&journal, 5).await;
    }
    let (_journal, mut drain) = open(dir.path());
    ledger.drain(&mut drain);
    ledger.has(&[entry(1), entry(2), entry(5)]);
}

#[tokio::test]
async fn a_full_disk_refuses_calls_and_loses_nothing() {
    a_failing_disk_loses_nothing(ENOSPC, false, false, Health::Full).await;
}

#[tokio::test]
async fn half_a_record_on_a_full_disk_is_cut_off() {
    a_failing_disk_loses_nothing(ENOSPC, true, false, Health::Full).await;
}

#[tokio::test]
async fn half_a_record_that_cannot_be_cut_off_ends_its_segment() {
    a_failing_disk_loses_nothing(ENOSPC, true, true, Health::Full).await;
}

#[tokio::test]
async fn a_broken_disk_refuses_calls_and_loses_nothing() {
    a_failing_disk_loses_nothing(EIO, false, false, Health::Broken).await;
    a_failing_disk_loses_nothing(EIO, true, true, Health::Broken).await;
}

#[tokio::test]
async fn what_cannot_be_written_is_drained_from_memory() {
    let dir = tempfile::tempdir().unwrap();
    let (faults, journal, mut drain) = open_faulty(dir.path(), Durability::Process);
    let mut ledger = Ledger::default();
    journal.intend(&intent(&entry(1))).await.unwrap();
    faults.appends(ENOSPC);
    assert!(journal.settle(&entry(1)).await.is_err());
    journal.settle_now(&entry(2));

    let batch = tokio::time::timeout(PATIENCE, drain.next_batch(1)).await;
    let batch = batch.unwrap().unwrap();
    ledger.commit(&batch);
    drain.release(&batch);
    ledger.drain(&mut drain);

    ledger.has(&[entry(1), entry(2)]);
    assert_eq!(journal.len(), 0);
    faults.appends(0);
    until_good(&journal).await;
    ledger.drain(&mut drain);
    assert_eq!(ledger.repeats, 0);
}

#[tokio::test]
async fn with_power_durability_a_record_is_on_the_disk_before_the_call_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (faults, journal, _drain) = open_faulty(dir.path(), Durability::Power);
    faults.slow.store(true, Ordering::SeqCst);
    let entry = entry(1);
    let settling = {
        let (journal, entry) = (journal.clone(), entry.clone());
        tokio::spawn(async move { journal.settle(&entry).await })
    };
    while journal.is_empty() {
        tokio::task::yield_now().await;
    }
    assert!(!settling.is_finished());
    assert_eq!(faults.syncs.load(Ordering::SeqCst), 0);
    faults.slow.store(false, Ordering::SeqCst);

    tokio::time::timeout(PATIENCE, settling).await.unwrap().unwrap().unwrap();
    assert!(faults.syncs.load(Ordering::SeqCst) >= 1);
}

#[tokio::test]
async fn many_calls_share_one_sync() {
    let dir = tempfile::tempdir().unwrap();
    let faults = Arc::new(Faults::default());
    let disk = Box::new(FaultyDisk(Arc::clone(&faults)));
    let settings = Settings { durability: Durability::Power, ..Settings::new(dir.path()) };
    let (journal, mut drain) = Journal::open_on(settings, disk).unwrap();
    // While the first sync takes its time, all the others come.
    faults.slow.store(true, Ordering::SeqCst);
    let calls: Vec<_> = (0..500)
        .map(|n| {
            let journal = journal.clone();
            tokio::spawn(async move { journal.settle(&entry(n)).await })
        })
        .collect();
    while journal.len() < 500 {
        tokio::task::yield_now().await;
    }
    faults.slow.store(false, Ordering::SeqCst);
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let syncs = faults.syncs.load(Ordering::SeqCst);
    assert!((1..=2).contains(&syncs), "{syncs} syncs for 500 records");
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&(0..500).map(entry).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_sync_that_failed_is_made_good_on_a_new_segment() {
    let dir = tempfile::tempdir().unwrap();
    let (faults, journal, mut drain) = open_faulty(dir.path(), Durability::Power);
    faults.failing_syncs.store(1, Ordering::SeqCst);

    call(&journal, 1).await;

    assert_eq!(faults.created.load(Ordering::SeqCst), 2);
    let second = std::fs::read(writer(&journal).dir.join("00000002.seg")).unwrap();
    assert!(!second.is_empty(), "the record was written again");
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&[entry(1)]);
}

#[tokio::test]
async fn a_disk_that_never_syncs_refuses_calls_until_it_does() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    {
        let (faults, journal, _drain) = open_faulty(dir.path(), Durability::Power);
        call(&journal, 1).await;
        faults.no_sync.store(true, Ordering::SeqCst);
        let refused = journal.intend(&intent(&entry(2))).await;
        assert!(matches!(refused, Err(JournalError::Broken)));
        assert!(journal.settle(&entry(3)).await.is_err());
        assert_eq!(journal.health(), Health::Broken);

        faults.no_sync.store(false, Ordering::SeqCst);
        until_good(&journal).await;
        call(&journal, 4).await;
    }
    let (_journal, mut drain) = open(dir.path());
    ledger.drain(&mut drain);
    // The second was refused: it is no call, and so it was not interrupted either.
    ledger.has(&[entry(1), entry(3), entry(4)]);
}

#[tokio::test]
async fn records_that_somebody_else_synced_meanwhile_are_not_counted_twice() {
    let dir = tempfile::tempdir().unwrap();
    let (_faults, journal, mut drain) = open_faulty(dir.path(), Durability::Power);
    journal.intend(&intent(&entry(1))).await.unwrap();
    journal.settle_now(&entry(1));
    let writer = writer(&journal);
    // As the keeper does it, with the drain in between.
    let last = writer.tail.lock().appended;
    assert!(writer.on_disk());
    writer.synced(&mut writer.tail.lock(), last);
    call(&journal, 2).await;
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&[entry(1), entry(2)]);
}

#[tokio::test]
async fn power_durability_deletes_what_is_drained_and_carries_on() {
    let dir = tempfile::tempdir().unwrap();
    let (_faults, journal, mut drain) = open_faulty(dir.path(), Durability::Power);
    let mut ledger = Ledger::default();
    journal.intend(&intent(&entry(1000))).await.unwrap();
    for n in 0..30 {
        call(&journal, n).await;
        ledger.drain(&mut drain);
    }
    assert!(segments(&journal).len() <= 2);
    drop((journal, drain));
    let (_journal, mut drain) = open(dir.path());
    ledger.drain(&mut drain);
    assert_eq!(ledger.rows[&Uuid::from_u128(1000)], interrupted(&entry(1000)));
}

#[test]
fn a_directory_that_cannot_be_written_is_told_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let refused = Journal::open(Settings::new(file.join("journal"))).unwrap_err();
    assert!(refused.to_string().starts_with("cannot open"), "{refused}");
}

/// The commands that give a process a mount table of its own: for everybody, and for root where
/// user namespaces are closed.
const NAMESPACES: [&[&str]; 2] =
    [&["unshare", "--user", "--map-root-user", "--mount"], &["unshare", "--mount"]];

/// Runs in a mount namespace of its own, so that no rights are needed and nothing is left behind.
/// Where the machine allows none, continuous integration fails; elsewhere the test says aloud that
/// it did not run.
#[tokio::test]
async fn a_file_system_that_is_really_full_recovers_when_it_is_drained() {
    if let Some(dir) = child::directory() {
        a_full_file_system_recovers(&dir, 128 << 10).await;
        // One segment fills the disk, and is in use.
        a_full_file_system_recovers(&dir, 64 << 20).await;
        return println!("both recovered");
    }
    let dir = tempfile::tempdir().unwrap();
    let Some(namespace) = NAMESPACES.into_iter().find(|namespace| can_mount(namespace, dir.path()))
    else {
        assert!(!in_continuous_integration(), "no mount namespace: give the container SYS_ADMIN");
        let words =
            "NOT RUN: a_file_system_that_is_really_full…: no mount namespace is allowed here";
        return writeln!(io::stderr(), "{words}").unwrap();
    };
    let test = "disk::a_file_system_that_is_really_full_recovers_when_it_is_drained";
    let child = child::start(namespace, test, dir.path());
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("both recovered"), "{said}");
}

#[expect(clippy::disallowed_methods, reason = "the variable that continuous integration sets")]
fn in_continuous_integration() -> bool {
    std::env::var_os("CI").is_some()
}

/// Whether a process in this namespace may mount a file system.
fn can_mount(namespace: &[&str], at: &Path) -> bool {
    let mut command = Command::new(namespace[0]);
    let command = command.args(&namespace[1..]).arg("mount").args(SMALL).arg(at);
    command.output().is_ok_and(|done| done.status.success())
}

/// The options of `mount` for a file system of 1 MiB.
const SMALL: [&str; 5] = ["-t", "tmpfs", "-o", "size=1m", "tmpfs"];

async fn a_full_file_system_recovers(dir: &Path, segment_bytes: u64) {
    assert!(Command::new("mount").args(SMALL).arg(dir).status().unwrap().success());
    let (journal, mut drain) =
        Journal::open(Settings { segment_bytes, ..Settings::new(dir) }).unwrap();
    let (mut ledger, mut n) = (Ledger::default(), 0);
    for round in 0..5 {
        let before = n;
        let long = entry((1 << 64) + round);
        journal.intend(&intent(&long)).await.unwrap();
        loop {
            let entry = entry(n);
            if journal.intend(&intent(&entry)).await.is_err() {
                break;
            }
            n += 1;
            drop(journal.settle(&entry).await);
        }
        drop(journal.settle(&long).await);
        assert!(n > before + 100, "only {} calls fitted", n - before);
        assert_eq!(journal.health(), Health::Full);
        tokio::select! {
            () = until_good(&journal) => {}
            () = ledger.drain_for_ever(&mut drain) => {}
        }
    }
    ledger.drain(&mut drain);
    drop((journal, drain));
    let (journal, mut drain) = open(dir);
    ledger.resume(&mut drain);
    ledger.drain(&mut drain);
    let long = (0..5).map(|round| entry((1 << 64) + round));
    ledger.has(&(0..n).map(entry).chain(long).collect::<Vec<_>>());
    drop((journal, drain));
    assert!(Command::new("umount").arg(dir).status().unwrap().success());
}
