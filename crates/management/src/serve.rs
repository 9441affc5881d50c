//! Serving the plane on a listener: bounded heads, bounded connections, an orderly end.

use std::{future::Future, io, net::SocketAddr, sync::Arc};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tower::Service as _;
use tracing::{debug, warn};

use crate::app::Management;

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
    let room = Arc::new(Semaphore::new(settings.connections));
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        let (stream, peer, place) = tokio::select! {
            () = &mut stop => break,
            (stream, peer) = accept(&listener) => match room.clone().try_acquire_owned() {
                Ok(place) => (stream, peer, place),
                Err(_) => {
                    warn!(%peer, "too many connections to the management plane; one is closed");
                    continue;
                }
            },
        };
        let connection = http.serve_connection(TokioIo::new(stream), at(router.clone(), peer));
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%peer, %error, "a connection to the management plane broke");
            }
            drop(place);
        });
    }
    management.drain();
    drop(listener);
    if time::timeout(settings.grace, graceful.shutdown()).await.is_err() {
        warn!("requests to the management plane were cut off: they took too long to end");
    }
    Ok(())
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

/// The router as hyper wants it, knowing who is at the other end.
fn at(
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
        router.clone().call(request)
    })
}
