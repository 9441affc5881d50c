//! A real Redis, which a test starts, kills and starts again.

use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// A running server, which is gone with this.
#[derive(Debug)]
pub struct Redis {
    dir: TempDir,
    port: u16,
    server: Child,
}

impl Redis {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When Redis is not installed or does not start.
    pub fn start() -> Redis {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let dir = tempfile::tempdir().unwrap();
        let server = serve(&dir, port);
        Redis { dir, port, server }
    }

    /// Its port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    /// Where it is reached.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once.
    pub fn kill(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }

    /// Starts it again after [`Redis::kill`], without its data.
    pub fn restart(&mut self) {
        self.server = serve(&self.dir, self.port);
    }
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
