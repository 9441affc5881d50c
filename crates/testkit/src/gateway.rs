//! The binary as a process.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread;

pub use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::sync::Notify;

use crate::{Admin, Caller, PASSWORD, PATIENCE};

/// Which planes the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planes {
    /// Both in one process.
    Both,
    /// The data plane alone.
    Proxy,
    /// The management plane alone.
    Management,
}

/// One gateway process, which can be killed and started again on the same data.
#[derive(Debug)]
pub struct Gateway {
    binary: PathBuf,
    dir: Arc<TempDir>,
    planes: Planes,
    variables: Vec<(String, OsString)>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    lines: Arc<Lines>,
    proxy: Option<SocketAddr>,
    management: Option<SocketAddr>,
}

/// What the process has said so far.
#[derive(Debug, Default)]
struct Lines {
    said: Mutex<Vec<String>>,
    more: Notify,
}

impl Gateway {
    /// A gateway of both planes in a new directory. Give it `env!("CARGO_BIN_EXE_tollgate")`.
    pub fn new(binary: &str) -> Gateway {
        Gateway {
            binary: binary.into(),
            dir: Arc::new(tempfile::tempdir().unwrap()),
            planes: Planes::Both,
            variables: Vec::new(),
            running: None,
        }
    }

    /// Another gateway on the same data.
    pub fn beside(&self) -> Gateway {
        Gateway {
            binary: self.binary.clone(),
            dir: Arc::clone(&self.dir),
            planes: self.planes,
            variables: self.variables.clone(),
            running: None,
        }
    }

    /// Runs only these planes.
    pub fn planes(mut self, planes: Planes) -> Gateway {
        self.planes = planes;
        self
    }

    /// Starts with a variable more.
    pub fn with(mut self, name: &str, value: impl Into<OsString>) -> Gateway {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    /// Starts the process, which cannot serve, and waits for its end.
    pub async fn fails(&mut self) -> ExitStatus {
        self.spawn();
        let mut running = self.running.take().expect("it was started");
        let lines = Arc::clone(&running.lines);
        let waiting = tokio::task::spawn_blocking(move || {
            let status = running.child.wait().unwrap();
            (running, status)
        });
        let ended = tokio::time::timeout(PATIENCE, waiting).await;
        let (running, status) = ended.expect("it does not end").unwrap();
        self.running = Some(running);
        // Both streams have ended with the process; what they held is there in a moment.
        crate::until("it says why", || async { (!lines.said.lock().is_empty()).then_some(()) })
            .await;
        status
    }

    /// Starts the process, and returns once its planes listen.
    pub async fn start(&mut self) {
        self.spawn();
        if self.planes != Planes::Management {
            let addr = self.said("the data plane serves").await;
            self.running_mut().proxy = Some(addr_in(&addr));
        }
        if self.planes != Planes::Proxy {
            let addr = self.said("the management plane serves").await;
            self.running_mut().management = Some(addr_in(&addr));
        }
    }

    fn spawn(&mut self) {
        let mut child = self.command().spawn().expect("the binary starts");
        let lines = Arc::new(Lines::default());
        listen(child.stdout.take().unwrap(), &lines);
        listen(child.stderr.take().unwrap(), &lines);
        self.running = Some(Running { child, lines, proxy: None, management: None });
    }

    fn command(&self) -> Command {
        // A write beyond a limit on file sizes is to fail, as on a full disk, not to kill.
        let mut command = Command::new("sh");
        command
            .args(["-c", r#"trap '' XFSZ; exec "$0" "$@""#])
            .arg(&self.binary)
            .arg("serve")
            .args(match self.planes {
                Planes::Both => &[][..],
                Planes::Proxy => &["--no-management"],
                Planes::Management => &["--no-proxy"],
            })
            .current_dir(self.dir.path())
            .env("TOLLGATE_DATA_DIR", self.data_dir())
            .env("TOLLGATE_PROXY__ADDR", "127.0.0.1:0")
            .env("TOLLGATE_MANAGEMENT__ADDR", "127.0.0.1:0")
            .env("TOLLGATE_OUTBOUND__ALLOW", "127.0.0.0/8")
            .env("TOLLGATE_ADMIN_PASSWORD", PASSWORD)
            // No balancer has to hear of the end.
            .env("TOLLGATE_SHUTDOWN_DELAY", "0s")
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Where the database and the journal lie.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// The embedded database.
    pub fn database(&self) -> PathBuf {
        self.data_dir().join("tollgate.db")
    }

    /// Waits until the process logs a line with `text`, and gives it.
    pub async fn said(&mut self, text: &str) -> String {
        let running = self.running.as_mut().expect("it was started");
        let lines = Arc::clone(&running.lines);
        let waiting = async {
            loop {
                let more = lines.more.notified();
                let found = lines.said.lock().iter().find(|line| line.contains(text)).cloned();
                if let Some(line) = found {
                    return line;
                }
                more.await;
            }
        };
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(line) => line,
            Err(_) => panic!("it never said `{text}`, but:\n{}", self.log()),
        }
    }

    /// Everything that the process has logged since it was started.
    pub fn log(&self) -> String {
        let lines = self.running.as_ref().map(|running| running.lines.said.lock().join("\n"));
        lines.unwrap_or_default()
    }

    /// The address of the data plane.
    pub fn proxy(&self) -> SocketAddr {
        self.running().proxy.expect("it runs the data plane")
    }

    /// The address of the management plane.
    pub fn management(&self) -> SocketAddr {
        self.running().management.expect("it runs the management plane")
    }

    /// The first administrator, signed in.
    pub async fn admin(&self) -> Admin {
        Admin::sign_in(self.management()).await
    }

    /// Whether the management plane lets the first administrator in now.
    pub async fn can_sign_in(&self) -> bool {
        Admin::try_sign_in(self.management()).await.is_some()
    }

    /// Whoever holds `service_key`.
    pub fn caller(&self, service_key: &str) -> Caller {
        Caller::new(self.proxy(), service_key)
    }

    /// The id of the process.
    pub fn pid(&self) -> u32 {
        self.running().child.id()
    }

    /// Ends the process as a loss of power would: it is not asked.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            drop(running.child.kill());
            running.child.wait().unwrap();
        }
    }

    /// Asks the process to end.
    pub fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Waits until the process has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let mut running = self.running.take().expect("it was started");
        let pid = running.child.id();
        let waiting = tokio::task::spawn_blocking(move || running.child.wait().unwrap());
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(status) => status.unwrap(),
            Err(_) => {
                let pid = Pid::from_raw(i32::try_from(pid).unwrap());
                let _ = kill(pid, Signal::SIGKILL);
                panic!("it did not end");
            }
        }
    }

    /// Asks the process to end, and waits until it has, in good order.
    pub async fn stop(&mut self) {
        self.terminate();
        let status = self.ended().await;
        assert!(status.success(), "it ended with {status}");
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it was started")
    }

    fn running_mut(&mut self) -> &mut Running {
        self.running.as_mut().expect("it was started")
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let from = log.lines().count().saturating_sub(30);
            let lines: Vec<&str> = log.lines().skip(from).collect();
            drop(writeln!(std::io::stderr(), "the gateway said:\n{}", lines.join("\n")));
        }
        self.kill();
    }
}

/// Collects the lines of `stream` until its end.
fn listen(stream: impl Read + Send + 'static, lines: &Arc<Lines>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            lines.said.lock().push(line);
            lines.more.notify_waiters();
        }
    });
}

fn addr_in(line: &str) -> SocketAddr {
    let (_, rest) = line.split_once("http://").expect("the line names the address");
    let end = rest.find(|c: char| !c.is_ascii_hexdigit() && !".:[]".contains(c));
    rest[..end.unwrap_or(rest.len())].parse().expect("an address")
}
