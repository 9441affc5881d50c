//! A real PostgreSQL for tests: made in a temporary directory, reached over a Unix socket in it,
//! and gone with the process that asked for it, however that ends.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::Wire;

/// Runs as the user of the server, as a guard beside it: when its standard input ends, because the
/// tests are over or were killed, it stops the server by the pid in its data directory.
const GUARD: &str = r#"
set -eu
bin=$1
dir=$(mktemp -d /tmp/tollgate-postgres.XXXXXX)
stop() { "$bin/pg_ctl" stop -D "$dir/data" -m immediate >/dev/null 2>&1 || true; rm -rf "$dir"; }
trap stop EXIT
trap '' INT TERM HUP
"$bin/initdb" -D "$dir/data" -U tollgate -A trust -E UTF8 --locale=C.UTF-8 --no-sync >"$dir/log" 2>&1 ||
    { cat "$dir/log" >&2; exit 1; }
echo "-k $dir -c listen_addresses= -c fsync=off -c full_page_writes=off \
    -c max_connections=300 -c shared_buffers=32MB" >"$dir/options"
"$bin/pg_ctl" start -w -D "$dir/data" -l "$dir/log" -o "$(cat "$dir/options")" >/dev/null ||
    { cat "$dir/log" >&2; exit 1; }
echo "$dir"
cat >/dev/null
"#;

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    dir: PathBuf,
    made: AtomicU32,
    _guard: Child,
    _alive: ChildStdin,
}

impl Postgres {
    /// The one server of this test binary, started by whoever asks first.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start: a test that needs it has then failed,
    /// and is never left out in silence.
    pub fn shared() -> &'static Postgres {
        static SERVER: OnceLock<Postgres> = OnceLock::new();
        SERVER.get_or_init(Postgres::start)
    }

    /// A server for this test alone, which it may stop and start again.
    ///
    /// # Panics
    /// As [`shared`](Self::shared) does.
    pub fn alone() -> Postgres {
        Postgres::start()
    }

    /// Stops the server as a crash would.
    pub fn stop(&self) {
        self.control(&["stop", "-m", "immediate"]);
    }

    /// Starts the server again, with what was committed.
    pub fn restart(&self) {
        let options = fs::read_to_string(self.dir.join("options"));
        let options = options.expect("the guard wrote the options of the server");
        let log = self.dir.join("log").display().to_string();
        self.control(&["start", "-w", "-l", &log, "-o", options.trim_end()]);
    }

    fn control(&self, args: &[&str]) {
        let mut command = as_server_user();
        command.arg(self.bin.join("pg_ctl")).arg("-D").arg(self.dir.join("data")).args(args);
        let status = command.current_dir("/tmp").stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "pg_ctl {args:?} failed");
    }

    fn start() -> Postgres {
        let bin = binaries().expect(
            "PostgreSQL is not installed; `scripts/setup` does it (Debian package `postgresql`)",
        );
        let mut command = as_server_user();
        command.args(["sh", "-c", GUARD, "guard"]).arg(&bin).current_dir("/tmp");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut guard = command.spawn().expect("the guard of the test server cannot be started");
        let alive = guard.stdin.take().expect("its standard input is a pipe");
        let out = guard.stdout.take().expect("its standard output is a pipe");
        let mut dir = String::new();
        BufReader::new(out).read_line(&mut dir).expect("the guard of the test server has died");
        assert!(!dir.is_empty(), "PostgreSQL did not start, see above");
        let dir = dir.trim_end().into();
        Postgres { bin, dir, made: AtomicU32::new(0), _guard: guard, _alive: alive }
    }

    /// A new, empty database, as an address for the store.
    pub fn database(&self) -> String {
        let name = format!("test_{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.run("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://tollgate@localhost/{name}?host={}", self.dir.display())
    }

    /// A wire to the server, on which connections can die.
    pub async fn wire(&self) -> Wire {
        Wire::to_socket(self.dir.join(".s.PGSQL.5432")).await
    }

    /// Runs SQL in a database, as an administrator beside the program would.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn run(&self, database: &str, sql: &str) -> String {
        let out = Command::new(self.bin.join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "tollgate", "-d"])
            .arg(database)
            .arg("-h")
            .arg(&self.dir)
            .args(["-c", sql])
            .output()
            .expect("psql is installed beside the server");
        assert!(out.status.success(), "{sql}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }
}

/// The name of the database in an address that [`Postgres::database`] gave.
pub fn database_name(url: &str) -> &str {
    let head = url.split('?').next().unwrap_or_default();
    head.rsplit('/').next().unwrap_or_default()
}

/// The same database, reached over `wire`.
pub fn over(wire: &Wire, url: &str) -> String {
    format!("postgres://tollgate@127.0.0.1:{}/{}", wire.port(), database_name(url))
}

/// The newest installed version's programs.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.filter_map(Result::ok);
    let mut found: Vec<_> = versions
        .map(|version| version.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort_by_key(|bin| version_of(bin));
    found.pop()
}

fn version_of(bin: &Path) -> u32 {
    let name = bin.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}

/// The server refuses to run as root; then it runs as the user that its package made.
fn as_server_user() -> Command {
    let root = fs::metadata("/proc/self")
        .is_ok_and(|meta| std::os::unix::fs::MetadataExt::uid(&meta) == 0);
    if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]);
        command
    } else {
        Command::new("env")
    }
}
