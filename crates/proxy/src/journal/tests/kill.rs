//! Processes that are killed while they write, and processes that may write little.

use std::io::{BufRead, BufReader};

use super::*;

/// The number in a line that the child wrote; other lines are the test harness's.
fn number(line: &str, word: &str) -> Option<u128> {
    line.split_once(word)?.1.trim().parse().ok()
}

/// The child: four threads make calls without end and print which began and which ended.
fn calls_without_end(dir: &Path) {
    let (journal, _drain) = open(dir);
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
    if let Some(dir) = child::directory() {
        return calls_without_end(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    for round in 0..5 {
        let mut child =
            child::start(&[], "kill::a_killed_process_leaves_every_call_it_answered", dir.path());
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

/// The child: makes a thousand calls in a process whose files may not grow beyond a few records.
fn a_thousand_calls(dir: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let settings = Settings::new(dir);
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
    if let Some(dir) = child::directory() {
        return a_thousand_calls(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    // 128 blocks of 512 bytes; beyond them a write fails with EFBIG where the signal is ignored.
    let limits = r#"trap '' XFSZ; ulimit -f 128; exec "$0" "$@""#;
    let test = "kill::a_limit_on_file_sizes_only_makes_more_segments";
    let child = child::start(&["sh", "-c", limits], test, dir.path());
    let done = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && said.contains("ended 1000"), "{said}");

    let (journal, mut drain) = open(dir.path());
    assert!(segments(&journal).len() > 5);
    let mut ledger = Ledger::default();
    ledger.drain(&mut drain);
    ledger.has(&(0..1000).map(entry).collect::<Vec<_>>());
}
