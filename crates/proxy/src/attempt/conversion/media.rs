//! Media that a client names by address, for targets whose dialect takes only the data: fetched where
//! the upstream's policy says so, within its bounds.
//!
//! The addresses come from callers. Each hop is checked like the address of an upstream, by what its
//! name resolves to at that moment; nothing of the client and no credentials go out; what comes back
//! goes to the provider only where its first bytes are those of an image or a PDF.

use std::{borrow::Cow, collections::BTreeMap, time::Instant};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use dialect::{
    Codec, Failure, FailureKind,
    chat::{Media, Request, Source},
};
use domain::{FileAddress, policy::FetchMedia};
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use pingora_timeout::timeout;

use crate::{
    http1::{Conn, Decoder, Framing, ResponseHead},
    memory::Held,
    pool::line::{ConnectFault, Connector, Line},
};

/// Most redirects that are followed for one file, and most files that are fetched at once.
const REDIRECTS_MAX: usize = 3;
const AT_ONCE: usize = 4;
/// Largest head of an answer, and most fields in it.
const HEAD_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 256;
/// So many first bytes say what a file is.
const MAGIC: usize = 12;

/// The files of a call that are here, by their addresses.
#[derive(Debug, Default)]
pub(super) struct Fetched(BTreeMap<String, File>);

#[derive(Debug)]
struct File {
    mime: &'static str,
    base64: String,
    _memory: Held,
}

/// With what files are fetched.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetcher<'a> {
    pub(super) connector: &'a Connector,
    pub(super) policy: FetchMedia,
    /// When all files must be here.
    pub(super) deadline: Instant,
    /// Whose share of the memory they take.
    pub(super) memory: &'a Held,
}

/// A medium that is to be fetched.
#[derive(Debug, Clone, Copy)]
struct Wanted<'a> {
    url: &'a str,
    path: &'a str,
    types: &'static [&'static str],
}

/// Why a file is not here. The caller reads it.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("its address {0}")]
    Address(String),
    #[error("the gateway does not fetch from this address")]
    Denied,
    #[error("its server cannot be reached")]
    Unreachable,
    #[error("its server answered {0}")]
    Status(u16),
    #[error("it is redirected more than {REDIRECTS_MAX} times")]
    Redirects,
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    #[error("it is none of {0}")]
    Type(String),
    #[error("its server broke off")]
    Broken,
    #[error("it did not come in time")]
    TimedOut,
    #[error("the gateway holds as many bodies as it may; try again shortly")]
    Memory,
}

impl Fetched {
    /// Whether `codec` needs something of `request` that is not here.
    pub(super) fn lacks(&self, request: &Request<'_>, codec: &dyn Codec) -> bool {
        self.wanted(request, codec).next().is_some()
    }

    /// Fetches all that `codec` needs of `request`, or says of the first file why it is not here.
    pub(super) async fn fetch(
        &mut self,
        request: &Request<'_>,
        codec: &dyn Codec,
        fetcher: Fetcher<'_>,
    ) -> Result<(), Failure> {
        let mut wanted: Vec<Wanted<'_>> = Vec::new();
        for one in self.wanted(request, codec) {
            if wanted.iter().any(|other| other.url == one.url) {
                continue;
            }
            let most = fetcher.policy.max_files;
            if self.0.len() + wanted.len() >= most as usize {
                let words =
                    format!("`{}`: a call may name at most {most} files by address", one.path);
                return Err(Failure::unsayable(one.path, words));
            }
            wanted.push(one);
        }
        let files: Vec<BoxFuture<'_, _>> =
            wanted.into_iter().map(|one| fetcher.file(one).boxed()).collect();
        let files: Vec<_> = stream::iter(files).buffered(AT_ONCE).try_collect().await?;
        self.0.extend(files);
        Ok(())
    }

    /// `request` with the data in the place of the addresses of which it is here.
    pub(super) fn put_into<'r>(&'r self, request: &'r Request<'r>) -> Cow<'r, Request<'r>> {
        if self.0.is_empty() {
            return Cow::Borrowed(request);
        }
        let mut request = request.clone();
        for medium in request.media_mut() {
            let Source::Url(url) = &medium.source else { continue };
            if let Some(file) = self.0.get(&**url) {
                medium.source = Source::Base64(file.base64.as_str().into());
                medium.mime = Some(file.mime.into());
            }
        }
        Cow::Owned(request)
    }

    fn wanted<'r>(
        &self,
        request: &'r Request<'_>,
        codec: &dyn Codec,
    ) -> impl Iterator<Item = Wanted<'r>> {
        request.media().filter_map(move |Media { kind, source, path, .. }| {
            let Source::Url(url) = source else { return None };
            let types = codec.data_only(*kind);
            let needed = !types.is_empty() && !self.0.contains_key(&**url);
            needed.then_some(Wanted { url, path, types })
        })
    }
}

fn failure(one: Wanted<'_>, trouble: &Trouble) -> Failure {
    let words = format!("`{}` cannot be fetched: {trouble}", one.path);
    match trouble {
        Trouble::Memory => Failure::new(FailureKind::Overloaded, words),
        _ => Failure::unsayable(one.path, words),
    }
}

impl Fetcher<'_> {
    /// The file with its address, or what to tell the caller.
    async fn file(self, one: Wanted<'_>) -> Result<(String, File), Failure> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let file = timeout(left, self.follow(one)).await.unwrap_or(Err(Trouble::TimedOut));
        let file = file.map_err(|trouble| failure(one, &trouble))?;
        Ok((one.url.to_owned(), file))
    }

    /// Goes to the address, and to where it is redirected.
    async fn follow(self, one: Wanted<'_>) -> Result<File, Trouble> {
        let mut address = FileAddress::parse(one.url).map_err(Trouble::Address)?;
        for _ in 0..=REDIRECTS_MAX {
            let (mut conn, head) = self.asked(&address).await?;
            match (head.status, head.text("location")) {
                (200, _) => return self.read(&mut conn, &head, one.types).await,
                (301 | 302 | 303 | 307 | 308, Some(location)) => {
                    address = address.redirected(location).map_err(Trouble::Address)?;
                }
                (status, _) => return Err(Trouble::Status(status)),
            }
        }
        Err(Trouble::Redirects)
    }

    /// Asks for the file on a connection of its own; the head of what is answered.
    async fn asked(self, address: &FileAddress) -> Result<(Conn, ResponseHead), Trouble> {
        let line = Line::new(address.base().clone());
        let left = self.deadline.saturating_duration_since(Instant::now());
        let conn = self.connector.connect(&line, left).await;
        let mut conn = conn.map_err(|fault| match fault {
            ConnectFault::Denied(_) => Trouble::Denied,
            ConnectFault::TimedOut => Trouble::TimedOut,
            _ => Trouble::Unreachable,
        })?;
        conn.wr.send(&[&question(address)]).await.map_err(|_| Trouble::Broken)?;
        loop {
            let raw = conn.rd.head_now(HEAD_MAX).await.map_err(|_| Trouble::Broken)?;
            let head = ResponseHead::parse(raw, FIELDS_MAX).map_err(|_| Trouble::Broken)?;
            if head.status >= 200 {
                return Ok((conn, head));
            }
        }
    }

    /// Reads the file, counted as it arrives, and gives it up where it is too large or something
    /// else.
    async fn read(
        self,
        conn: &mut Conn,
        head: &ResponseHead,
        types: &[&'static str],
    ) -> Result<File, Trouble> {
        let most = self.policy.max_bytes;
        if head.content_length.is_some_and(|length| length > most) {
            return Err(Trouble::TooLarge(most));
        }
        let framing = match (head.chunked, head.content_length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) => Framing::Length(length),
            (false, None) => Framing::UntilClose,
        };
        let mut memory = self.memory.another(0).ok_or(Trouble::Memory)?;
        let (mut decoder, mut data) = (Decoder::new(framing), Vec::new());
        let mut mime = None;
        while let Some(piece) = conn.rd.body(&mut decoder).await.map_err(|_| Trouble::Broken)? {
            let here = (data.len() + piece.len()) as u64;
            if here > most {
                return Err(Trouble::TooLarge(most));
            }
            if !memory.holds(here, most) {
                return Err(Trouble::Memory);
            }
            data.extend_from_slice(&piece);
            if mime.is_none() && data.len() >= MAGIC {
                mime = Some(one_of(types, &data)?);
            }
        }
        let mime = mime.map_or_else(|| one_of(types, &data), Ok)?;
        let size = data.len().div_ceil(3) * 4;
        let memory = self.memory.another(size as u64).ok_or(Trouble::Memory)?;
        Ok(File { mime, base64: BASE64_STANDARD.encode(&data), _memory: memory })
    }
}

/// The request: who asks, and for what.
fn question(address: &FileAddress) -> Bytes {
    let lines = [
        format!("GET {} HTTP/1.1", address.target()),
        format!("host: {}", address.base().authority()),
        format!("user-agent: Tollgate/{}", env!("CARGO_PKG_VERSION")),
        "accept: image/*, application/pdf".to_owned(),
        "accept-encoding: identity".to_owned(),
        "connection: close".to_owned(),
    ];
    (lines.join("\r\n") + "\r\n\r\n").into()
}

/// The type of a file that begins like this, where it is one of `types`.
fn one_of(types: &[&'static str], data: &[u8]) -> Result<&'static str, Trouble> {
    let found = mime_of(data).filter(|mime| types.contains(mime));
    found.ok_or_else(|| Trouble::Type(types.join(", ")))
}

/// What a file is by its first bytes: servers often name no type, or a wrong one. Signatures as in
/// "MIME Sniffing" (WHATWG), for HEIF those of ISO/IEC 23008-12.
fn mime_of(data: &[u8]) -> Option<&'static str> {
    match data {
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("image/webp"),
        [b'%', b'P', b'D', b'F', b'-', ..] => Some("application/pdf"),
        [_, _, _, _, b'f', b't', b'y', b'p', brand @ ..] => match brand.get(..4)? {
            b"heic" | b"heix" | b"hevc" | b"hevx" => Some("image/heic"),
            b"mif1" | b"msf1" | b"heim" | b"heis" => Some("image/heif"),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_bytes_are() {
        for (data, mime) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], Some("image/png")),
            (b"\xff\xd8\xff\xe0........", Some("image/jpeg")),
            (b"RIFF\0\0\0\0WEBPVP8 ", Some("image/webp")),
            (b"RIFF\0\0\0\0WAVEfmt ", None),
            (b"\0\0\0\x18ftypheic", Some("image/heic")),
            (b"\0\0\0\x18ftypmif1", Some("image/heif")),
            (b"\0\0\0\x18ftypisom", None),
            (b"\0\0\0\x18ftyp", None),
            (b"%PDF-1.7\n", Some("application/pdf")),
            (b"GIF89a......", None),
            (b"<html><body>", None),
            (b"", None),
        ] {
            assert_eq!(mime_of(data), mime, "{data:?}");
        }
    }

    #[test]
    fn nothing_but_the_address_is_sent() {
        let address = FileAddress::parse("https://host.test:8443/a b.png?sig=1#x").unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let expected = format!(
            "GET /a%20b.png?sig=1 HTTP/1.1\r\nhost: host.test:8443\r\nuser-agent: Tollgate/{version}\r\n\
             accept: image/*, application/pdf\r\naccept-encoding: identity\r\nconnection: close\r\n\r\n"
        );
        assert_eq!(question(&address), expected);
    }
}
