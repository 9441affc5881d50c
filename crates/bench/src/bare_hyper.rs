//! The smallest gateway on hyper: its HTTP/1 server, and the pooled client of hyper-util.

use std::{convert::Infallible, net::SocketAddr};

use http_body_util::{BodyExt, Empty, combinators::BoxBody};
use hyper::{
    Request, Response, StatusCode, Uri, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

/// Answers until the process ends.
pub(crate) async fn serve(listener: TcpListener, upstream: SocketAddr) -> anyhow::Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        tokio::spawn(async move {
            let forward = service_fn(|request| forward(client.clone(), upstream, request));
            // How a client's connection ended is of no interest here.
            http1::Builder::new().serve_connection(TokioIo::new(stream), forward).await.ok()
        });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<bytes::Bytes, hyper::Error>>, Infallible> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(upstream.to_string())
        .path_and_query(path)
        .build()
        .expect("was a URI");
    let answer = match client.request(request).await {
        Ok(answer) => answer.map(BodyExt::boxed),
        Err(_) => {
            let mut answer = Response::new(Empty::new().map_err(|never| match never {}).boxed());
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    };
    Ok(answer)
}
