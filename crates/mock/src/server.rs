//! The listener, and the mock as tests hold it.

use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    Behaviour, Ending, Received, Script,
    delivery::{Delivered, deliver},
    echo,
    http::{Body, Connection, Head, Reply},
    provider,
    received::Records,
    websocket,
};

/// Answers as the providers on `listener`, for as long as it is polled.
pub async fn serve(listener: TcpListener, script: Script) {
    accept(listener, Arc::new(Shared::new(script))).await;
}

/// A mock on a port of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Mock {
    /// Where it listens.
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Mock {
    /// Starts one on a free port of 127.0.0.1.
    pub async fn start(script: Script) -> io::Result<Mock> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(script));
        let task = tokio::spawn(accept(listener, shared.clone()));
        Ok(Mock { addr, shared, task })
    }

    /// The address as a base URL, without a slash at its end.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What came so far, oldest first.
    pub fn received(&self) -> Vec<Received> {
        self.shared.records.lock().all.iter().cloned().collect()
    }

    /// Forgets what came so far.
    pub fn forget(&self) {
        *self.shared.records.lock() = Records::default();
    }

    /// From now on calls with this key go so, whatever its own text says. Its calls are counted
    /// anew.
    pub fn behave(&self, key: &str, behaviours: &str) {
        let mut keys = self.shared.keys.lock();
        keys.told.insert(key.to_owned(), Behaviour::parse(behaviours));
        keys.calls.remove(key);
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> u64 {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// How many connections were ever made.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Waits until what came fulfils `condition`, and gives it.
    pub async fn wait_until(&self, condition: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let mut changes = self.shared.changed.subscribe();
        loop {
            changes.borrow_and_update();
            let received = self.received();
            if condition(&received) {
                return received;
            }
            if changes.changed().await.is_err() {
                return received;
            }
        }
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    script: Script,
    keys: Mutex<Keys>,
    records: Mutex<Records>,
    changed: watch::Sender<()>,
    requests: AtomicU64,
    connections: AtomicU64,
    open: AtomicU64,
}

#[derive(Debug, Default)]
struct Keys {
    told: HashMap<String, Behaviour>,
    calls: HashMap<String, u64>,
}

impl Shared {
    fn new(script: Script) -> Shared {
        let keys = Keys { told: script.keys.clone(), calls: HashMap::new() };
        Shared {
            script,
            keys: Mutex::new(keys),
            records: Mutex::default(),
            changed: watch::Sender::new(()),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            open: AtomicU64::new(0),
        }
    }

    /// How this call is to go.
    fn behaviour(&self, head: &Head) -> Behaviour {
        if let Some(asked) = head.header("x-mock") {
            return Behaviour::parse(asked);
        }
        let Some(key) = head.key() else { return Behaviour::default() };
        let mut keys = self.keys.lock();
        let behaviour = keys.told.get(key).cloned().unwrap_or_else(|| Behaviour::parse(key));
        if behaviour.is_well() {
            return behaviour;
        }
        let calls = keys.calls.entry(key.to_owned()).or_default();
        *calls += 1;
        let over = behaviour.calls.is_some_and(|first| *calls > first);
        if over { Behaviour::default() } else { behaviour }
    }

    fn record(&self, number: u64, head: &Head, body: &Bytes, peer: SocketAddr) {
        if self.script.recorded == 0 {
            return;
        }
        let received = Received {
            number,
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            body: body.clone(),
            body_length: body.len(),
            key: head.key().map(str::to_owned),
            peer,
            at: Instant::now(),
            ending: None,
        };
        self.records.lock().add(received, self.script.recorded);
        self.changed.send_replace(());
    }

    fn ended(&self, number: u64, ending: Ending) {
        if self.script.recorded > 0 {
            self.records.lock().end(number, ending);
            self.changed.send_replace(());
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Dropping the set ends all connections with their listener.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                shared.connections.fetch_add(1, Ordering::Relaxed);
                connections.spawn(converse(stream, peer, shared.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "the mock cannot accept a connection");
                tokio::task::yield_now().await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

/// Counts a connection for as long as it is open.
struct Open<'a>(&'a AtomicU64);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection, request after request.
async fn converse(stream: TcpStream, peer: SocketAddr, shared: Arc<Shared>) {
    shared.open.fetch_add(1, Ordering::Relaxed);
    let _open = Open(&shared.open);
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream);
    loop {
        let head = match connection.head().await {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(error) => return tracing::debug!(%error, "the mock was sent a broken request"),
        };
        match exchange(&mut connection, &head, peer, &shared).await {
            Ok(delivered) if delivered.reusable => {}
            Ok(_) => return,
            Err(error) => return tracing::debug!(%error, "the mock lost a request in its body"),
        }
    }
}

/// One request and its answer.
async fn exchange(
    connection: &mut Connection,
    head: &Head,
    peer: SocketAddr,
    shared: &Shared,
) -> io::Result<Delivered> {
    let number = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if websocket::is_asked(head) {
        shared.record(number, head, &Bytes::new(), peer);
        let ended = websocket::echo(connection, head).await;
        let ending = if ended.is_ok() { Ending::Sent } else { Ending::ClientGone };
        shared.ended(number, ending);
        return Ok(Delivered { ending, reusable: false });
    }
    let body = connection.body(head).await?;
    shared.record(number, head, &body, peer);
    let behaviour = shared.behaviour(head);
    let mut reply = reply(head, &body, &behaviour, number, shared);
    if head.method == "HEAD" {
        reply.body = Body::Whole(Bytes::new());
    }
    let keep_alive = !head.has_token("connection", "close");
    let delivered = deliver(connection, reply, &behaviour, shared.script.pace, keep_alive).await;
    shared.ended(number, delivered.ending);
    Ok(delivered)
}

fn reply(head: &Head, body: &Bytes, behaviour: &Behaviour, number: u64, shared: &Shared) -> Reply {
    if let Some(reply) = echo::reply(head, body) {
        return reply;
    }
    let call = provider::Call { head, body, behaviour, number };
    if shared.script.key_needed && head.key().is_none_or(str::is_empty) {
        return call.refuse(401, "invalid_api_key", "You didn't provide an API key.");
    }
    provider::reply(&call)
}
