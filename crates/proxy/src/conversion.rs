//! The other road: a call that is said again in its target's dialect, and the answer in the
//! client's.
//!
//! Nothing of it is begun before a target needs it: the request is read once for a call, and
//! written once for each target, before that target is asked. What a target cannot be told is
//! either a list for the client ([`Wording`]) or a reason to pass the target over. What a dialect
//! looks like is the business of `dialect`; bytes, time and failures are what is dealt with here.

mod answer;
mod delivery;
mod failure;
mod request;
mod stream;
mod vectors;

use dialect::Codec;
use domain::Dialect;

pub(crate) use answer::{Converted, received};
pub(crate) use delivery::deliver;
pub(crate) use request::{Conversion, Worded, Wording};
pub(crate) use stream::Flow;

/// The codec of a dialect.
pub(crate) fn codec_of(dialect: Dialect) -> &'static dyn Codec {
    match dialect {
        Dialect::OpenaiChat => dialect::codec::OPENAI_CHAT,
        Dialect::OpenaiResponses => dialect::codec::OPENAI_RESPONSES,
        Dialect::AnthropicMessages => dialect::codec::ANTHROPIC,
        Dialect::Gemini => dialect::codec::GEMINI,
    }
}
