//! Instances that meet in a real Redis, and a wire to it that can be cut.

use std::sync::Arc;
use std::time::Duration;

use cluster::{Cluster, Settings};
pub(crate) use testkit::Redis;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Longer than anything here takes, unless it never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Instances that meet in a Redis.
pub(crate) trait Meet {
    fn instance(&self) -> Cluster;

    /// An instance that waits for an answer however busy the machine is.
    fn patient(&self) -> Cluster;
}

impl Meet for Redis {
    fn instance(&self) -> Cluster {
        instance_at(self.port())
    }

    fn patient(&self) -> Cluster {
        patient(self.port())
    }
}

/// An instance that reaches Redis at this port.
pub(crate) fn instance_at(port: u16) -> Cluster {
    Cluster::redis(&settings(port)).unwrap()
}

fn settings(port: u16) -> Settings {
    let url = format!("redis://127.0.0.1:{port}");
    Settings { beat: Duration::from_millis(500), ..Settings::new(url.into()) }
}

fn patient(port: u16) -> Cluster {
    Cluster::redis(&Settings { deadline: PATIENCE, ..settings(port) }).unwrap()
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
        let (deaf, server) = (Arc::new(watch::Sender::new(false)), redis.port());
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
        instance_at(self.port)
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
