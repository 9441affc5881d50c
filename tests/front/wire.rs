//! The golden cases of conversion through the whole binary: as bytes, and through the providers'
//! own Python clients. The harness is in `tests/wire`, the cases are in `crates/dialect/golden`.

use std::process::Command;

use crate::{TOLLGATE, sdks::PYTHON};

#[test]
fn every_golden_case_holds_through_the_whole_gateway() {
    let runner = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/wire/run.py");
    let mut cases = Command::new(PYTHON);
    cases.args(["-B", runner]).env("WIRE_BINARY", TOLLGATE);
    let done = cases.output().expect("no Python with the clients: run scripts/setup test");
    let said = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
}
