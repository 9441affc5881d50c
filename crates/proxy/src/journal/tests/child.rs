//! Tests that need a process of their own: the test starts this program again with itself as the only
//! test, and finds in the environment that it is the child.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Tells the child where its journal is.
const DIRECTORY: &str = "JOURNAL_DIR";

/// The directory of the journal if this process is the child.
#[expect(clippy::disallowed_methods, reason = "how a test tells its child where to write")]
pub(super) fn directory() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Starts the child of `test` (its path below this module) with the command line `wrapper` in front,
/// which sets up the limits of the process.
pub(super) fn start(wrapper: &[&str], test: &str, directory: &Path) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command = match wrapper {
        [] => Command::new(program),
        [first, rest @ ..] => {
            let mut command = Command::new(first);
            command.args(rest).arg(program);
            command
        }
    };
    let name = format!("journal::tests::{test}");
    command
        .args([&name, "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}
