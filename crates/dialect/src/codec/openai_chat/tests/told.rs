//! A stream's steps as lines of text.

use bytes::Bytes;

use crate::{
    Names, StreamReader,
    chat::{Event, Opening},
    codec,
};

/// What is understood of a stream that comes in these pieces.
pub(super) fn steps<'p>(pieces: impl IntoIterator<Item = &'p [u8]>, names: Names) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut reader = StreamReader::new(codec::OPENAI_CHAT, names);
    let emit = &mut |event: Event<'_>| all.push(line(event));
    for piece in pieces {
        reader.push(Bytes::copy_from_slice(piece), emit);
    }
    reader.finish(emit);
    all
}

/// One step.
pub(super) fn line(event: Event<'_>) -> String {
    match event {
        Event::Start => "start".to_owned(),
        Event::Open { choice, block, opening } => {
            let what = match opening {
                Opening::Text => "text".to_owned(),
                Opening::Thinking => "thinking".to_owned(),
                Opening::Refusal => "refusal".to_owned(),
                Opening::Call { id, name } => {
                    let kind = if name.free_form { "free-form" } else { "function" };
                    format!("{kind} {} {id}", name.text)
                }
            };
            format!("{choice}.{block} open {what}")
        }
        Event::Delta { choice, block, text } => format!("{choice}.{block} + {text}"),
        Event::Signature { choice, block, signature } => {
            format!("{choice}.{block} signature {:?} {}", signature.vendor, signature.data)
        }
        Event::Cite { choice, block, citation } => {
            format!("{choice}.{block} cite {} {:?}", citation.url, citation.span)
        }
        Event::Logprobs { choice, logprobs } => {
            let tokens: Vec<&str> = logprobs.iter().map(|one| &*one.token).collect();
            format!("{choice} logprobs {}", tokens.join(","))
        }
        Event::Image { choice, image } => format!("{choice} image {} {}", image.mime, image.data),
        Event::Close { choice, block } => format!("{choice}.{block} close"),
        Event::Finish { choice, finish } => format!("{choice} finish {finish:?}"),
        Event::Usage(tokens) => format!("usage {}/{}", tokens.input, tokens.output),
        Event::Failed(failure) => format!("failed {:?}: {}", failure.kind, failure.message),
        Event::End => "end".to_owned(),
    }
}
