//! A request on its way to a provider, in steps, while the answer may already be coming.
//!
//! A held body and one that is still with the client go the same way. A step does one thing that may
//! be dropped at any time, so whoever waits for the answer can take steps in between.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    attempt::outbound::Outgoing,
    client::Client,
    http1::{Writer, push_hex},
    refusal::Refusal,
    request::inbound::{Body, Call},
};

/// A request on its way to the provider, in steps that may be dropped at any time.
#[derive(Debug)]
pub(crate) struct Upload {
    /// What is to be written now.
    pending: VecDeque<Bytes>,
    flushed: bool,
    source: Source,
}

/// Where more of a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    /// Nowhere: all of it is pending or went out.
    Dry,
    /// The client; its length was declared.
    Client,
    /// The client; it goes on in chunks.
    ClientInChunks,
}

/// Who broke an upload.
#[derive(Debug)]
pub(crate) enum UploadFault {
    Client(Refusal),
    Provider,
}

impl Upload {
    /// The upload of one attempt; its head stands first.
    pub(crate) fn new(outgoing: &Outgoing, call: &Call, chunked: bool) -> Self {
        let source = match &call.body {
            Body::Held { .. } => Source::Dry,
            Body::Begun { .. } | Body::Streaming if chunked => Source::ClientInChunks,
            Body::Begun { .. } | Body::Streaming => Source::Client,
        };
        Self { pending: outgoing.pieces(), flushed: false, source }
    }

    /// Whether all of the request went out.
    pub(crate) fn is_done(&self) -> bool {
        self.source_is_dry() && self.pending.is_empty() && self.flushed
    }

    /// Whether nothing more comes from the client.
    pub(crate) fn source_is_dry(&self) -> bool {
        self.source == Source::Dry
    }

    /// Reads a piece, or writes some of what was read. Once all went out it waits until the client
    /// is gone.
    pub(crate) async fn step(
        &mut self,
        client: &mut Client<'_>,
        to: &mut Writer,
    ) -> Result<(), UploadFault> {
        if !self.pending.is_empty() || !self.flushed {
            self.flushed = false;
            let written = tokio::select! {
                biased;
                written = to.send_some(&mut self.pending) => written,
                () = client.gone(), if client.body_done() => {
                    return Err(UploadFault::Client(Refusal::ClientGone));
                }
            };
            self.flushed = self.pending.is_empty();
            return written.map_err(|_| UploadFault::Provider);
        }
        if self.source_is_dry() {
            client.gone().await;
            return Err(UploadFault::Client(Refusal::ClientGone));
        }
        match client.piece().await.map_err(UploadFault::Client)? {
            Some(piece) if self.source == Source::ClientInChunks => {
                let mut line = Vec::with_capacity(12);
                push_hex(&mut line, piece.len());
                self.pending.extend([line.into(), piece, Bytes::from_static(b"\r\n")]);
            }
            Some(piece) => self.pending.push_back(piece),
            None => {
                if self.source == Source::ClientInChunks {
                    self.pending.push_back(Bytes::from_static(b"0\r\n\r\n"));
                }
                self.source = Source::Dry;
            }
        }
        Ok(())
    }
}
