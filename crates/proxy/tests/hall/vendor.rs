//! Providers by script: what they are asked is kept, what they answer is up to each test, down to
//! the byte and the moment.

use std::{
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A request as a provider saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        let mut values = self.headers(name);
        let value = values.next();
        assert!(values.next().is_none(), "{name} is there twice: {}", self.head);
        value
    }

    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.head.split("\r\n").skip(1).filter_map(move |line| {
            let (n, value) = line.split_once(':')?;
            n.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The provider key it came with.
    pub(crate) fn key(&self) -> &str {
        self.header("authorization").and_then(|v| v.strip_prefix("Bearer ")).unwrap_or_default()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A provider that listens.
#[derive(Clone)]
pub(crate) struct Vendor {
    pub(crate) addr: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
    /// Connections that ended from the other side.
    gone: Arc<AtomicUsize>,
}

impl Vendor {
    /// Each connection is a conversation of its own.
    pub(crate) async fn talking<F>(script: impl Fn(Talk) -> F + Send + Sync + 'static) -> Vendor
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let vendor = Vendor {
            addr: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
            gone: Arc::default(),
        };
        let this = vendor.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                stream.set_nodelay(true).unwrap();
                this.connections.fetch_add(1, Ordering::SeqCst);
                let talk = Talk { stream, buf: Vec::new(), vendor: this.clone() };
                tokio::spawn(script(talk));
            }
        });
        vendor
    }

    /// Every request gets what `answer` makes of it.
    pub(crate) async fn answering(
        answer: impl Fn(&Seen) -> Vec<u8> + Send + Sync + 'static,
    ) -> Vendor {
        let answer = Arc::new(answer);
        Vendor::talking(move |mut talk| {
            let answer = answer.clone();
            async move {
                while let Some(seen) = talk.request().await {
                    talk.send(answer(&seen)).await;
                }
            }
        })
        .await
    }

    /// Every request gets the same.
    pub(crate) async fn saying(answer: impl AsRef<[u8]>) -> Vendor {
        let answer = answer.as_ref().to_vec();
        Vendor::answering(move |_| answer.clone()).await
    }

    /// The requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().clone()
    }

    /// The one request.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:#?}");
        seen.remove(0)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many conversations saw the gateway hang up.
    pub(crate) fn gone(&self) -> usize {
        self.gone.load(Ordering::SeqCst)
    }
}

/// One connection, from the provider's side.
pub(crate) struct Talk {
    pub(crate) stream: TcpStream,
    pub(crate) buf: Vec<u8>,
    vendor: Vendor,
}

impl Talk {
    /// The next request with its body; none when the gateway hung up.
    pub(crate) async fn request(&mut self) -> Option<Seen> {
        let mut seen = self.head().await?;
        if seen.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await? {
                seen.body.extend_from_slice(&chunk);
            }
        } else {
            let length = seen.header("content-length").map_or(0, |l| l.parse().unwrap());
            while self.buf.len() < length {
                self.fill().await?;
            }
            seen.body = self.buf.drain(..length).collect();
        }
        self.vendor.seen.lock().push(seen.clone());
        Some(seen)
    }

    /// The next request's head alone; not among those seen.
    pub(crate) async fn head(&mut self) -> Option<Seen> {
        loop {
            if let Some(end) = self.buf.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buf.drain(..end + 4).collect();
                let head = String::from_utf8_lossy(&head).into_owned();
                let mut words = head.split(' ');
                let method = words.next().unwrap().to_owned();
                let target = words.next().unwrap().to_owned();
                return Some(Seen { method, target, head, body: vec![] });
            }
            self.fill().await?;
        }
    }

    /// The next chunk of the request's body; an inner none at its end.
    pub(crate) async fn chunk(&mut self) -> Option<Option<Vec<u8>>> {
        loop {
            if let Some(end) = self.buf.windows(2).position(|w| w == b"\r\n") {
                let size = std::str::from_utf8(&self.buf[..end]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if self.buf.len() >= end + 2 + size + 2 {
                    let chunk = self.buf[end + 2..end + 2 + size].to_vec();
                    self.buf.drain(..end + 2 + size + 2);
                    return Some((!chunk.is_empty()).then_some(chunk));
                }
            }
            self.fill().await?;
        }
    }

    pub(crate) async fn fill(&mut self) -> Option<()> {
        let mut scratch = vec![0; 64 << 10];
        match self.stream.read(&mut scratch).await {
            Ok(n) if n > 0 => {
                self.buf.extend_from_slice(&scratch[..n]);
                Some(())
            }
            _ => {
                self.vendor.gone.fetch_add(1, Ordering::SeqCst);
                None
            }
        }
    }

    /// Sends; false where the gateway is gone.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Waits until the gateway hangs up.
    pub(crate) async fn until_gone(&mut self) {
        while self.fill().await.is_some() {}
    }

    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().unwrap();
    }
}

/// An answer with a length.
pub(crate) fn answer(status: u16, fields: &[&str], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut text = format!("HTTP/1.1 {status} Whatever\r\n");
    for field in fields {
        text.push_str(field);
        text.push_str("\r\n");
    }
    text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A JSON answer.
pub(crate) fn json(status: u16, body: &str) -> Vec<u8> {
    answer(status, &["content-type: application/json"], body)
}

/// A chat's answer that says `text` and reports usage.
pub(crate) fn said(text: &str) -> Vec<u8> {
    json(
        200,
        &format!(
            r#"{{"id":"c1","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}},"finish_reason":"stop"}}],"usage":{{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10,"prompt_tokens_details":{{"cached_tokens":2}}}}}}"#
        ),
    )
}

/// The head of an event stream in chunks.
pub(crate) const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk.
pub(crate) fn chunk(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut out = format!("{:x}\r\n", body.len()).into_bytes();
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
    out
}

/// The event of a chat stream that says `text`.
pub(crate) fn delta(text: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

/// A whole chat stream of these events, in one chunk each.
pub(crate) fn stream_of(events: &[&str]) -> Vec<u8> {
    let mut out = STREAM.as_bytes().to_vec();
    for event in events {
        out.extend_from_slice(&chunk(event));
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}
