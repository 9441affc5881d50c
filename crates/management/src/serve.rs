//! Serving the plane on a listener: bounded heads, bounded connections, an orderly end.

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{Router, extract::ConnectInfo};
use hyper::{
    Request,
    body::Incoming,
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time,
};
use tower::Service as _;
use tracing::{debug, warn};

use crate::{Settings, app::Management};

/// Serves the plane on `listener` until `stop` is ready; then answers what is in flight, for as
/// long as the settings allow, and returns.
pub async fn serve(
    management: &Management,
    listener: TcpListener,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let settings = &management.settings;
    let router = management.router();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(settings.head_timeout)
        .max_buf_size(settings.head_limit.max(8192))
        .max_headers(100);
    let room = Arc::new(Room::of(settings));
    let (stopping, stopped) = watch::channel(false);
    // Nothing is sent: it is closed once each connection has dropped its end.
    let (alive, mut all_ended) = mpsc::channel::<()>(1);
    tokio::pin!(stop);
    loop {
        let (stream, peer, place) = tokio::select! {
            () = &mut stop => break,
            (stream, peer) = accept(&listener) => match room.take(peer.ip().to_canonical()) {
                Some(place) => (stream, peer, place),
                None => {
                    warn!(%peer, "too many connections to the management plane; one is closed");
                    continue;
                }
            },
        };
        let connection = http
            .serve_connection(TokioIo::new(stream), at(management.clone(), router.clone(), peer))
            .with_upgrades();
        let (mut stopped, alive) = (stopped.clone(), alive.clone());
        tokio::spawn(async move {
            tokio::pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = told(&mut stopped) => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%peer, %error, "a connection to the management plane broke");
            }
            drop((place, alive));
        });
    }
    management.drain();
    drop((listener, alive));
    stopping.send_replace(true);
    if time::timeout(settings.grace, all_ended.recv()).await.is_err() {
        warn!("requests to the management plane were cut off: they took too long to end");
    }
    Ok(())
}

/// Waits until the plane is told to stop.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // The sender lives as long as the plane: an error means the same.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// The next connection. What goes wrong here is of the moment: too many files, a peer that left.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                warn!(%error, "the management plane cannot take a connection now");
                time::sleep(time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Room for so many connections, and for so many from one address.
struct Room {
    all: usize,
    per_address: usize,
    proxies: Vec<ipnet::IpNet>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection's place; free again when dropped.
struct Place {
    room: Arc<Room>,
    address: IpAddr,
}

impl Room {
    fn of(settings: &Settings) -> Self {
        Self {
            all: settings.connections,
            per_address: settings.connections_per_address,
            proxies: settings.trusted_proxies.clone(),
            taken: Mutex::default(),
        }
    }

    fn take(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock();
        let all: usize = taken.values().sum();
        let here = taken.get(&address).copied().unwrap_or_default();
        let proxy = self.proxies.iter().any(|net| net.contains(&address));
        if all >= self.all || (here >= self.per_address && !proxy) {
            return None;
        }
        taken.insert(address, here + 1);
        Some(Place { room: self.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken.lock();
        match taken.get_mut(&self.address) {
            Some(here) if *here > 1 => *here -= 1,
            _ => drop(taken.remove(&self.address)),
        }
    }
}

/// The router as hyper wants it, knowing who is at the other end.
fn at(
    management: Management,
    router: Router,
    peer: SocketAddr,
) -> impl hyper::service::Service<
    Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Send {
    service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let (management, answer) = (management.clone(), router.clone().call(request));
        async move {
            let mut answer = answer.await?;
            if management.is_draining() {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_all_places_and_gives_back_what_it_leaves() {
        let settings = Settings {
            connections: 4,
            connections_per_address: 2,
            trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()],
            ..Default::default()
        };
        let room = Arc::new(Room::of(&settings));
        let take = |ip: &str| room.take(ip.parse().unwrap());
        let (one, two) = (take("192.0.2.1"), take("192.0.2.1"));
        assert!(one.is_some() && two.is_some() && take("192.0.2.1").is_none());
        let (three, four) = (take("10.0.0.1"), take("10.0.0.1"));
        assert!(three.is_some() && four.is_some() && take("192.0.2.2").is_none());
        drop(one);
        assert!(take("192.0.2.1").is_some());
        drop((two, three, four));
        assert!(room.taken.lock().is_empty());
    }
}
