//! Drives the providers' own Python SDKs, and plain HTTP, through the binary: the tests themselves
//! are in `tests/sdk/`.
//!
//! They need a Python with what `tests/sdk/requirements.txt` lists. `make test` makes one; where
//! there is none and nobody named one in `TOLLGATE_TEST_PYTHON`, this says so and does nothing.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

const VARIABLE: &str = "TOLLGATE_TEST_PYTHON";

/// The Python that was named, or the one that `scripts/setup` made.
#[expect(clippy::disallowed_methods, reason = "tests have no configuration file to name it in")]
fn python(root: &Path) -> Option<PathBuf> {
    if let Some(named) = env::var_os(VARIABLE) {
        return Some(named.into());
    }
    Some(root.join(".venv/bin/python")).filter(|made| made.exists())
}

#[test]
fn the_official_sdks_work_with_only_base_url_and_key_changed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Some(python) = python(root) else {
        eprintln!("skipped: no {VARIABLE} and no .venv; `scripts/setup test` makes one");
        return;
    };
    let status = Command::new(&python)
        .args(["-m", "pytest", "-q", "tests/sdk"])
        .current_dir(root)
        .env("TOLLGATE_BIN", env!("CARGO_BIN_EXE_tollgate"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", python.display()));
    assert!(status.success(), "the tests in tests/sdk failed: {status}");
}
