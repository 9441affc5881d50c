//! A call in the words of one target, and what is needed to understand the answer.

use bytes::Bytes;
use dialect::{Codec, Failure, FailureKind, Names, Reply};

use super::vectors::Vectors;
use crate::{door::Job, memory::Held};

/// A call in the words of one target, and what is needed to understand the answer.
#[derive(Debug)]
pub(crate) struct Wording {
    /// The target's dialect.
    pub(super) target: &'static dyn Codec,
    /// The client's.
    pub(super) client: &'static dyn Codec,
    pub(super) job: Job,
    /// How vectors come back, where those are what was asked for.
    pub(super) vectors: Option<Vectors>,
    /// Whether the answer is to come as a stream.
    pub(super) stream: bool,
    pub(super) names: Names,
    pub(super) reply: Reply,
    /// Header lines that tell the client what the target was not told.
    pub(super) notes: Vec<u8>,
    pub(crate) path: String,
    pub(crate) query: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    pub(super) body: Bytes,
    pub(super) memory: Held,
}

impl Wording {
    /// The body of the next call to the target.
    pub(crate) fn body(&self) -> Bytes {
        self.vectors.as_ref().map_or_else(|| self.body.clone(), Vectors::body)
    }

    /// Whether the target was told only a part of the question so far.
    pub(crate) fn has_more(&self) -> bool {
        self.vectors.as_ref().is_some_and(Vectors::has_more)
    }
}

/// A failure without what is none of the client's business: a key that the provider refuses is
/// the gateway's, and whoever reads of one looks at the wrong key.
pub(super) fn told(failure: Failure) -> Failure {
    let retry_after = failure.retry_after;
    let told = match failure.kind {
        FailureKind::Unauthenticated | FailureKind::Forbidden => {
            Failure::new(FailureKind::BadGateway, "the provider does not take the gateway's key")
        }
        _ => failure,
    };
    Failure { retry_after, ..told }
}
