//! A real Redis, which each test starts, kills and starts again, and a wire to it that can be cut.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, Settings};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Longer than anything here takes, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Redis {
    dir: TempDir,
    pub(crate) port: u16,
    pub(crate) server: Child,
}

impl Redis {
    pub(crate) fn start() -> Redis {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let server = serve(&dir, port);
        Redis { dir, port, server }
    }

    pub(crate) fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    pub(crate) fn restart(&mut self) {
        self.server = serve(&self.dir, self.port);
    }

    pub(crate) fn instance(&self) -> Cluster {
        Cluster::redis(&settings(self.port)).unwrap()
    }

    /// An instance that waits for an answer however busy the machine is.
    pub(crate) fn patient(&self) -> Cluster {
        patient(self.port)
    }
}

fn settings(port: u16) -> Settings {
    let url = format!("redis://127.0.0.1:{port}");
    Settings { beat: Duration::from_millis(500), ..Settings::new(url.into()) }
}

fn patient(port: u16) -> Cluster {
    Cluster::redis(&Settings { deadline: PATIENCE, ..settings(port) }).unwrap()
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn serve(dir: &TempDir, port: u16) -> Child {
    let mut server = Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--port", &port.to_string()])
        .current_dir(dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("redis-server is needed: scripts/setup installs it");
    let lines = BufReader::new(server.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).any(|line| line.contains("Ready to accept"));
    assert!(ready, "redis-server did not start");
    server
}

/// Waits until `now` says so.
pub(crate) async fn until(what: &str, now: impl Fn() -> bool) {
    let wait = async {
        while !now() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}

/// A wire to Redis over which answers can be lost.
pub(crate) struct Wire {
    port: u16,
    deaf: Arc<watch::Sender<bool>>,
}

impl Wire {
    pub(crate) async fn to(redis: &Redis) -> Wire {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (deaf, server) = (Arc::new(watch::Sender::new(false)), redis.port);
        let told = Arc::clone(&deaf);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, told.subscribe()));
            }
        });
        Wire { port, deaf }
    }

    pub(crate) fn patient(&self) -> Cluster {
        patient(self.port)
    }

    /// An instance that waits for an answer no longer than it has to.
    pub(crate) fn hasty(&self) -> Cluster {
        Cluster::redis(&settings(self.port)).unwrap()
    }

    /// What Redis answers is lost from now on.
    pub(crate) fn lose_answers(&self) {
        self.deaf.send_replace(true);
    }

    /// It is whole again: those that lost something are cut.
    pub(crate) fn mend(&self) {
        self.deaf.send_replace(false);
    }
}

async fn carry(mut client: TcpStream, server: u16, mut deaf: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else { return };
    let (mut asked, mut answered) = ([0; 4096], [0; 4096]);
    let mut lost = *deaf.borrow_and_update();
    loop {
        tokio::select! {
            _ = deaf.changed() => {
                let is_deaf = *deaf.borrow_and_update();
                if lost && !is_deaf {
                    return;
                }
                lost = is_deaf;
            }
            read = client.read(&mut asked) => match read {
                Ok(n) if n > 0 && server.write_all(&asked[..n]).await.is_ok() => {}
                _ => return,
            },
            read = server.read(&mut answered) => match read {
                Ok(n) if n > 0 && (lost || client.write_all(&answered[..n]).await.is_ok()) => {}
                _ => return,
            },
        }
    }
}
