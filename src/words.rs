//! Output of commands: results on standard output, remarks on standard error. Events of the running
//! gateway are logged instead.

use std::io::{self, ErrorKind, Write};

/// Prints the result of a command. A closed pipe ends the command quietly.
pub(crate) fn tell(text: &str) {
    let mut out = io::stdout().lock();
    let told = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
    match told {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            remark(&format!("tollgate: the result cannot be written: {error}"));
            std::process::exit(1);
        }
    }
}

/// Prints a remark on the terminal.
pub(crate) fn remark(text: &str) {
    // A failure cannot be reported anywhere else.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
}
