//! The providers' own Python clients, with only the base URL and the key changed. What they try is
//! in `tests/sdk`, which starts this binary with pretended providers behind it.

use std::{path::PathBuf, process::Command};

use crate::TOLLGATE;

#[expect(clippy::disallowed_methods, reason = "`make test` says which Python has the clients")]
fn python() -> PathBuf {
    let venv = || concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python").into();
    std::env::var_os("TOLLGATE_TEST_PYTHON").unwrap_or_else(venv).into()
}

#[test]
fn the_official_clients_work_with_only_base_url_and_key_changed() {
    let python = python();
    assert!(python.exists(), "no Python with the clients: run scripts/setup test");
    let mut pytest = Command::new(python);
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdk");
    pytest.args(["-B", "-m", "pytest", "-q", tests]).env("TOLLGATE_BIN", TOLLGATE);
    let done = pytest.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
}
