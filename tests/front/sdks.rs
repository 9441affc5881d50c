//! The providers' own Python clients, with only the base URL and the key changed. What they try is
//! in `tests/sdk`, which starts this binary with simulated providers behind it.

use std::{path::Path, process::Command};

use crate::TOLLGATE;

/// The Python that has the clients; `scripts/setup test` makes it.
pub(crate) const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");

#[test]
fn the_official_clients_work_with_only_base_url_and_key_changed() {
    assert!(Path::new(PYTHON).exists(), "no Python with the clients: run scripts/setup test");
    let mut pytest = Command::new(PYTHON);
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk");
    pytest
        .args(["-B", "-m", "pytest", "-q", tests, "--ignore-glob", "*/matrix"])
        .env("TOLLGATE_BIN", TOLLGATE);
    let done = pytest.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
}
