//! The demo ends well, shows what it promises and leaves nothing behind.

use std::{path::Path, process::Stdio};

use tokio::process::Command;

use crate::TOLLGATE;

async fn demo(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new(TOLLGATE);
    command.arg("demo").args(args).env("TMPDIR", dir);
    let done = command.stdin(Stdio::null()).output().await.unwrap();
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
    said
}

fn serves(said: &str, line: &str) -> bool {
    let line = said.lines().find(|l| l.contains(line)).expect("the address is told");
    let addr = line.split("http://").nth(1).unwrap().split_whitespace().next().unwrap();
    std::net::TcpStream::connect(addr).is_ok()
}

#[tokio::test]
async fn the_demo_shows_what_happened_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let said = demo(dir.path(), &[]).await;
    for shown in
        ["key 03, dead", "refused the key (401)", "too many (429)", "anthropic_messages", "gemini"]
    {
        assert!(said.contains(shown), "{shown}: {said}");
    }
    assert!(said.contains("120 calls made, 120 log entries"), "{said}");
    assert!(!serves(&said, "the gateway  ") && !serves(&said, "simulated providers"));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the folder is still there");
}

#[tokio::test]
async fn a_demo_that_is_kept_goes_on_and_says_how_to_end_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = demo(dir.path(), &["--keep"]).await;
    assert!(serves(&said, "the gateway  ") && serves(&said, "simulated providers"));
    let kill = said.split("kill ").nth(1).expect("it says how to end it");
    for pid in kill.split(" &&").next().unwrap().split_whitespace() {
        let pid = nix::unistd::Pid::from_raw(pid.parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }
}
