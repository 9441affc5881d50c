//! Words to people who run a command: results on the standard output, remarks on the standard
//! error. What happens while the gateway runs is logged instead.

/// The result of a command, for people and pipes.
#[expect(clippy::print_stdout, reason = "the result of a command belongs there")]
pub(crate) fn tell(text: &str) {
    println!("{}", text.trim_end_matches('\n'));
}

/// A remark to whoever sits in front of the terminal.
#[expect(clippy::print_stderr, reason = "remarks to people belong there")]
pub(crate) fn remark(text: &str) {
    eprintln!("{}", text.trim_end_matches('\n'));
}
