//! An embedded database that somebody else holds.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

/// A SQLite database that somebody else holds, so that nobody can write, until this is dropped.
#[derive(Debug)]
pub struct Locked {
    holder: Child,
    release: Option<ChildStdin>,
}

impl Locked {
    /// Takes the lock of the database in `file`.
    pub fn hold(file: &Path) -> Locked {
        const HOLD: &str = "import sqlite3, sys\n\
            db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n\
            db.execute('BEGIN IMMEDIATE')\n\
            print('held', flush=True)\n\
            sys.stdin.read()\n\
            db.execute('ROLLBACK')\n";
        let mut holder = Command::new("python3")
            .args(["-c", HOLD])
            .arg(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "held");
        let release = holder.stdin.take();
        Locked { holder, release }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.release.take());
        drop(self.holder.wait());
    }
}
