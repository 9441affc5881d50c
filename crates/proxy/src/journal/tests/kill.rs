//! Processes that are killed while they write, and processes that may write little.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

/// Starts this test program again with only `test` of this file, through a shell that sets limits
/// first.
fn start(test: &str, dir: &Path, limits: &str) -> Child {
    let name = format!("journal::tests::kill::{test}");
    Command::new("sh")
        .arg("-c")
        .arg(format!(r#"{limits} exec "$0" "$@""#))
        .arg(std::env::current_exe().unwrap())
        .args([&name, "--exact", "--ignored", "--nocapture"])
        .env("JOURNAL_DIR", dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[expect(clippy::disallowed_methods, reason = "how a test tells its child where to write")]
fn dir_of_child() -> std::path::PathBuf {
    std::env::var_os("JOURNAL_DIR").unwrap().into()
}

/// The number in a line that the child wrote; other lines are the test harness's.
fn number(line: &str, word: &str) -> Option<u128> {
    line.split_once(word)?.1.trim().parse().ok()
}

/// Four threads call without end and say what they began and what ended.
#[test]
#[ignore = "the child of a_killed_process_leaves_every_call_it_answered"]
fn child_that_calls_without_end() {
    let (journal, _drain) = open(&dir_of_child());
    std::thread::scope(|scope| {
        for thread in 0..4_u128 {
            let journal = journal.clone();
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread();
                let runtime = { runtime }.build().unwrap();
                let process = u128::from(std::process::id());
                let mut ids = (process << 80 | thread << 64)..;
                runtime.block_on(async {
                    loop {
                        let n = ids.next().unwrap();
                        let entry = entry(n);
                        journal.intend(&intent(&entry)).await.unwrap();
                        println!("begun {n}");
                        journal.settle(&entry).await.unwrap();
                        println!("ended {n}");
                    }
                });
            });
        }
    });
}

#[test]
fn a_killed_process_leaves_every_call_it_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for round in 0..5 {
        let mut child = start("child_that_calls_without_end", dir.path(), "");
        let mut begun = std::collections::HashSet::new();
        let mut ended = std::collections::HashSet::new();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut killed = false;
        while let Some(Ok(line)) = lines.next() {
            begun.extend(number(&line, "begun "));
            ended.extend(number(&line, "ended "));
            if ended.len() > 300 + round * 100 && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        child.wait().unwrap();

        let before = ledger.rows.len();
        let (_journal, mut drain) = open(dir.path());
        ledger.resume(&mut drain);
        ledger.drain(&mut drain);
        assert_eq!(ledger.repeats, 0);
        for n in &begun {
            let row = ledger.rows.get(&Uuid::from_u128(*n)).expect("it had begun");
            if ended.contains(n) {
                assert_eq!(row, &entry(*n));
            } else {
                assert!(*row == entry(*n) || *row == interrupted(&entry(*n)));
            }
        }
        // Four threads may each have begun one call more and not said so.
        assert!(ledger.rows.len() <= before + begun.len() + 4);
    }
}

/// Calls a thousand times in a process whose files may not grow beyond a few records.
#[test]
#[ignore = "the child of a_limit_on_file_sizes_only_makes_more_segments"]
fn child_whose_files_stay_small() {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let settings = Settings::new(dir_of_child());
    let (journal, _drain) = Journal::open(settings).unwrap();
    { runtime }.build().unwrap().block_on(async {
        for n in 0..1000 {
            call(&journal, n).await;
        }
    });
    println!("ended 1000");
}

#[test]
fn a_limit_on_file_sizes_only_makes_more_segments() {
    let dir = tempfile::tempdir().unwrap();
    // 128 blocks of 512 bytes; beyond them a write fails with EFBIG where the signal is ignored.
    let limits = "trap '' XFSZ; ulimit -f 128;";
    let mut child = start("child_whose_files_stay_small", dir.path(), limits);
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ended = lines.map_while(Result::ok).any(|line| number(&line, "ended ").is_some());
    child.wait().unwrap();
    assert!(ended, "the child failed");

    let (journal, mut drain) = open(dir.path());
    assert!(segments(&journal).len() > 5);
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&(0..1000).map(entry).collect::<Vec<_>>());
}
