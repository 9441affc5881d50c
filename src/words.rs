//! Words to people who run a command: results on the standard output, remarks on the standard
//! error. What happens while the gateway runs is logged instead.

use std::io::{self, ErrorKind, Write};

/// The result of a command, for people and pipes. Whoever stopped reading has seen enough: that
/// ends the command quietly.
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

/// A remark to whoever sits in front of the terminal.
pub(crate) fn remark(text: &str) {
    // There is nobody else to tell.
    let _ = writeln!(io::stderr().lock(), "{}", text.trim_end_matches('\n'));
}
