//! `scripts/check-commits` against repositories made for it.

use std::{
    path::Path,
    process::{Command, Output},
};

use super::text::root;

const GOOD: &str = "limits: report bucket capacity\n\nCallers need it to pace themselves.";

/// A repository with the script and one commit, which is the base.
fn repository() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("scripts")).unwrap();
    std::fs::copy(script(root()), script(dir.path())).unwrap();
    git(dir.path(), &["init", "-q", "-b", "main"]);
    commit(dir.path(), "Begin");
    dir
}

fn script(root: &Path) -> std::path::PathBuf {
    root.join("scripts/check-commits")
}

fn git(dir: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "test");
        command.env(format!("GIT_{role}_EMAIL"), "test@gate.example");
    }
    command.env("GIT_CONFIG_GLOBAL", "/dev/null");
    let done = command.args(args).current_dir(dir).output().unwrap();
    assert!(done.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

fn commit(dir: &Path, message: &str) {
    git(dir, &["commit", "-q", "--allow-empty", "--cleanup=verbatim", "-m", message]);
}

fn check(dir: &Path, base: &str) -> Output {
    Command::new(script(dir)).arg(base).output().unwrap()
}

#[test]
fn commits_in_form_pass_and_all_others_are_named() {
    let too_long = format!("limits: {}\n\nWhy.", "x".repeat(65));
    for (message, fault) in [
        (GOOD, None),
        ("ci: check each commit\n\nCo-Authored-By: a <a@gate.example>", Some("has no body")),
        ("limits: report bucket capacity", Some("has no body")),
        ("limits: report capacity\nWhy.", Some("has no empty line")),
        ("Report bucket capacity\n\nWhy.", Some("is not `area: imperative summary`")),
        ("limits: reported bucket capacity\n\nWhy.", Some("does not begin with an imperative")),
        ("limits: report bucket capacity.\n\nWhy.", Some("ends with a full stop")),
        (too_long.as_str(), Some("has a subject of 73 characters")),
    ] {
        let dir = repository();
        let base = git(dir.path(), &["rev-parse", "HEAD"]);
        commit(dir.path(), message);
        let done = check(dir.path(), &base);
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.success(), fault.is_none(), "{message}: {said}");
        assert!(said.contains(fault.unwrap_or_default()), "{message}: {said}");
    }
}

#[test]
fn a_merge_is_refused() {
    let dir = repository();
    let base = git(dir.path(), &["rev-parse", "HEAD"]);
    git(dir.path(), &["checkout", "-q", "-b", "side"]);
    commit(dir.path(), GOOD);
    git(dir.path(), &["checkout", "-q", "main"]);
    git(dir.path(), &["merge", "-q", "--no-ff", "side", "-m", "limits: merge side\n\nWhy."]);
    let done = check(dir.path(), &base);
    assert!(!done.status.success());
    assert!(String::from_utf8_lossy(&done.stderr).contains("is a merge"));
}

#[test]
fn the_newest_commit_is_checked_where_the_base_is_out_of_reach() {
    let dir = repository();
    let base = git(dir.path(), &["rev-parse", "HEAD"]);
    let shallow = || {
        let clone = tempfile::tempdir().unwrap();
        let from = format!("file://{}", dir.path().display());
        git(clone.path(), &["clone", "-q", "--depth", "1", &from, "."]);
        std::fs::create_dir_all(clone.path().join("scripts")).unwrap();
        std::fs::copy(script(root()), script(clone.path())).unwrap();
        check(clone.path(), &base).status.success()
    };
    commit(dir.path(), "Bad");
    assert!(!shallow(), "the newest commit has not the form");
    commit(dir.path(), GOOD);
    assert!(shallow(), "the newest commit has the form");
    let elsewhere = "0123456789012345678901234567890123456789";
    assert!(check(dir.path(), elsewhere).status.success(), "a clone without the base");
}

#[test]
fn an_unpacked_archive_has_no_commits_to_check() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("scripts")).unwrap();
    std::fs::copy(script(root()), script(dir.path())).unwrap();
    let done = check(dir.path(), "HEAD");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
