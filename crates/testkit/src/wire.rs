//! A wire to a server, whose connections can die without a word: what is sent over them from then
//! on is taken and lost, in both directions, and nobody hangs up.

use std::{path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
};

/// Where a wire leads.
#[derive(Debug, Clone)]
enum End {
    Port(u16),
    Socket(PathBuf),
}

/// A port on loopback behind which a server is reached.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    /// Connections up to this number are dead.
    dead: Arc<watch::Sender<u64>>,
    made: watch::Receiver<u64>,
}

impl Wire {
    /// A wire to a port on loopback.
    pub async fn to_port(port: u16) -> Wire {
        Wire::to(End::Port(port)).await
    }

    /// A wire to a Unix socket.
    pub async fn to_socket(path: PathBuf) -> Wire {
        Wire::to(End::Socket(path)).await
    }

    async fn to(end: End) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (dead, (making, made)) = (Arc::new(watch::Sender::new(0)), watch::channel(0));
        let told = Arc::clone(&dead);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                making.send_modify(|number| *number += 1);
                let number = *making.borrow();
                tokio::spawn(connect(client, end.clone(), number, told.subscribe()));
            }
        });
        Wire { port, dead, made }
    }

    /// The port that it is reached at.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets the connections that there are die in silence. New ones are whole.
    pub fn silence(&self) {
        self.dead.send_replace(*self.made.borrow());
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u64 {
        *self.made.borrow()
    }
}

async fn connect(client: TcpStream, end: End, number: u64, dead: watch::Receiver<u64>) {
    match end {
        End::Port(port) => {
            if let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await {
                carry(client, server, number, dead).await;
            }
        }
        End::Socket(path) => {
            if let Ok(server) = UnixStream::connect(path).await {
                carry(client, server, number, dead).await;
            }
        }
    }
}

async fn carry(
    mut client: TcpStream,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
    number: u64,
    mut dead: watch::Receiver<u64>,
) {
    tokio::select! {
        // An error means that the wire is gone.
        died = dead.wait_for(|last| number <= *last) => if died.is_err() { return },
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
    }
    // The server does not notice either: its end stays open as long as the client's.
    let mut lost = [0; 4096];
    while client.read(&mut lost).await.is_ok_and(|n| n > 0) {}
    drop(server.shutdown().await);
}
