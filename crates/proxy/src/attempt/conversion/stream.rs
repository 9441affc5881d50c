//! An answer that is said again while it comes.
//!
//! It begins with its first step that means something; until then nothing has gone out, and what
//! goes wrong is the failure of an attempt. Each piece that arrives is said again at once.

use std::time::Duration;

use bytes::Bytes;
use dialect::{
    AnswerMetadata, Beginning, Codec, EncodeStream, Failure, FailureKind, StreamReader, Tokens,
    chat::{Event, Opening},
};
use domain::log::UsageSource;
use pingora_timeout::timeout;

use super::wording::{Wording, told};
use crate::{
    attempt::{
        exchange::Answer,
        failed::{Cause, Failed, reset},
        next::{Next, next},
    },
    client::Client,
    http1::ReadError,
    refusal::{Refusal, revoked::Revoked},
    usage::{BYTES_PER_TOKEN, Measured, of_tokens},
};

/// Most text of one answer: some dialects say all of it again at the end, so it is kept.
const SPOKEN_MAX: u64 = 64 << 20;

/// A stream between two dialects.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) answer: Answer,
    /// Header lines for the client.
    pub(crate) fields: Vec<u8>,
    reader: StreamReader,
    voice: Voice,
    /// What came until there was something to say, for rules that look at the events.
    pub(crate) first: Vec<Bytes>,
    /// Nothing more is to be read.
    drained: bool,
}

/// How a stream began.
pub(crate) enum Began {
    /// With something to say.
    Well(Box<Flow>),
    /// With an error.
    Refused(Failure),
    /// Not at all.
    Broken(Failed),
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All of it is there.
    Whole,
    /// It broke; the client was told so.
    Failed(Failure),
}

/// What is said to the client.
#[derive(Debug)]
struct Voice {
    encoder: Box<dyn EncodeStream>,
    out: Vec<u8>,
    beginning: Beginning,
    usage: Option<Tokens>,
    /// Bytes of text so far, and of images.
    spoken: u64,
    shown: u64,
    ending: Option<Ending>,
    /// Why the caller may not go on, where that ended it.
    revoked: Option<Revoked>,
}

impl Flow {
    pub(crate) fn new(wording: &Wording, answer: Answer) -> Flow {
        let encoder = wording.client.encode_stream(wording.reply.clone());
        let mut fields = format!("content-type: {}\r\n", encoder.content_type()).into_bytes();
        fields.extend_from_slice(b"cache-control: no-cache\r\nx-accel-buffering: no\r\n");
        fields.extend_from_slice(&wording.notes);
        Flow {
            answer,
            fields,
            reader: StreamReader::new(wording.target, wording.names.clone()),
            voice: Voice::new(encoder, wording.client),
            first: Vec::new(),
            drained: false,
        }
    }

    /// Waits until there is something to say, `within` so much time.
    pub(crate) async fn begun(mut self, client: &mut Client<'_>, within: Duration) -> Began {
        let wait = async {
            loop {
                self.first.extend_from_slice(&self.answer.incoming.ready);
                self.read();
                if self.voice.has_begun() {
                    return None;
                }
                if let Some(ending) = self.voice.ending.take() {
                    return Some(match ending {
                        Ending::Failed(failure) => Began::Refused(failure),
                        Ending::Whole => Began::Broken(empty()),
                    });
                }
                match next(client, &mut self.answer, None).await {
                    Next::Some | Next::End => {}
                    Next::Gone => return Some(Began::Broken(Failed::client(Refusal::ClientGone))),
                    Next::Broken(ReadError::TimedOut) => {
                        return Some(Began::Broken(Failed::too_slow()));
                    }
                    Next::Broken(_) | Next::Revoked(_) => return Some(Began::Broken(reset())),
                }
            }
        };
        match timeout(within, wait).await {
            Ok(None) => Began::Well(Box::new(self)),
            Ok(Some(other)) => other,
            Err(_) => Began::Broken(Failed::too_slow()),
        }
    }

    /// Says again what has arrived.
    pub(crate) fn read(&mut self) {
        let (reader, voice) = (&mut self.reader, &mut self.voice);
        for piece in self.answer.incoming.ready.drain(..) {
            reader.push(piece, &mut |event| voice.hear(event));
        }
        if self.answer.incoming.is_finished() {
            self.end();
        }
    }

    /// The provider broke off: as the dialect tells whether that was all.
    pub(crate) fn broken(&mut self, error: ReadError) {
        if let ReadError::TimedOut = error {
            let words = self.answer.incoming.broke(&error).to_string();
            self.voice.hear(Event::Failed(Failure::new(FailureKind::Timeout, words)));
        }
        self.end();
    }

    /// The caller may not go on: the answer ends here.
    pub(crate) fn revoked(&mut self, why: Revoked) {
        self.voice.revoked = Some(why);
        let kind = match why.status() {
            401 => FailureKind::Unauthenticated,
            403 => FailureKind::Forbidden,
            _ => FailureKind::BadGateway,
        };
        self.voice.hear(Event::Failed(Failure::new(kind, why.to_string())));
        self.drained = true;
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.drained, true) {
            return;
        }
        let voice = &mut self.voice;
        self.reader.finish(&mut |event| voice.hear(event));
        if voice.ending.is_none() {
            let words = Refusal::BrokeOff.to_string();
            voice.hear(Event::Failed(Failure::new(FailureKind::BadGateway, words)));
        }
    }

    /// What is to go out now.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.voice.out.is_empty() {
            return Bytes::new();
        }
        // What comes next is mostly as long as what came last.
        let room = self.voice.out.len().clamp(64, 1024);
        std::mem::replace(&mut self.voice.out, Vec::with_capacity(room)).into()
    }

    /// Whether it came to its end.
    pub(crate) fn ended(&self) -> bool {
        self.voice.ending.is_some()
    }

    /// Takes in what has arrived for nobody to hear.
    pub(crate) fn unheard(&mut self) {
        self.read();
        self.voice.out.clear();
    }

    /// Whether it ended because the caller may not go on.
    pub(crate) fn was_revoked(&self) -> bool {
        self.voice.revoked.is_some()
    }

    /// How it ended, if it did.
    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.voice.ending.as_ref()
    }

    /// Something harmless, where the dialect has it.
    pub(crate) fn keep_alive(&mut self) {
        self.voice.encoder.keep_alive(&mut self.voice.out);
    }

    /// What was used so far, and how that is known.
    pub(crate) fn used(&self, asked: u64) -> Measured {
        let voice = &self.voice;
        if let (Some(tokens), Some(Ending::Whole)) = (voice.usage, &voice.ending) {
            return (of_tokens(&tokens), UsageSource::Reported);
        }
        // What was reported before the end knows what went in and not what came out.
        let mut tokens = voice.usage.unwrap_or_default();
        tokens.output = tokens.output.max(voice.spoken / BYTES_PER_TOKEN);
        if voice.usage.is_none() {
            tokens.input = asked / BYTES_PER_TOKEN;
        }
        (of_tokens(&tokens), UsageSource::Counted)
    }

    /// What the provider said about the answer so far.
    pub(crate) fn told(&self) -> AnswerMetadata {
        self.reader.metadata()
    }
}

fn empty() -> Failed {
    Failed::upstream(Cause::Empty, "the provider's answer was empty")
}

impl Voice {
    fn new(encoder: Box<dyn EncodeStream>, client: &dyn Codec) -> Voice {
        Voice {
            encoder,
            out: Vec::new(),
            beginning: Beginning::new(client),
            usage: None,
            spoken: 0,
            shown: 0,
            ending: None,
            revoked: None,
        }
    }

    fn has_begun(&self) -> bool {
        self.beginning.has_begun()
    }

    /// Says one step again, or keeps it until there is something to say.
    fn hear(&mut self, event: Event<'_>) {
        if self.ending.is_some() {
            return;
        }
        match &event {
            Event::Usage(tokens) => self.usage = Some(*tokens),
            Event::Delta { text, .. } => self.spoken += text.len() as u64,
            Event::Open { opening: Opening::Call { name, .. }, .. } => {
                self.spoken += name.text.len() as u64;
            }
            Event::Image { image, .. } => self.shown += image.data.len() as u64,
            _ => {}
        }
        let event = match event {
            _ if self.spoken + self.shown > SPOKEN_MAX => {
                let words = "the provider's answer is too large";
                Event::Failed(Failure::new(FailureKind::BadGateway, words))
            }
            event => event,
        };
        // That the caller may not go on is no word of the provider's.
        let ours = self.revoked.is_some();
        let Self { encoder, out, beginning, ending, .. } = self;
        let began = beginning.has_begun();
        beginning.push(event, &mut |event| match event {
            Event::Failed(failure) => {
                // Without anything said it is the failure of an attempt.
                let failure = if began && !ours { told(failure) } else { failure };
                *ending = Some(Ending::Failed(failure.clone()));
                if began {
                    encoder.event(Event::Failed(failure), out);
                }
            }
            event => {
                if let Event::End = event {
                    *ending = Some(Ending::Whole);
                }
                encoder.event(event, out);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use dialect::Reply;

    use super::*;

    fn voice() -> Voice {
        let client = dialect::codec::OPENAI_CHAT;
        Voice::new(client.encode_stream(Reply::default()), client)
    }

    fn delta(text: &str) -> Event<'_> {
        Event::Delta { choice: 0, block: 0, text: text.into() }
    }

    #[test]
    fn nothing_is_said_before_there_is_something_to_say() {
        let mut voice = voice();
        voice.hear(Event::Start);
        voice.hear(Event::Usage(Tokens::default()));
        assert!(voice.out.is_empty() && !voice.has_begun());
        voice.hear(Event::Open { choice: 0, block: 0, opening: Opening::Text });
        voice.hear(delta("hi"));
        assert!(voice.has_begun() && voice.out.starts_with(b"data: "));
        assert_eq!(voice.spoken, 2);
    }

    #[test]
    fn an_answer_without_an_end_ends() {
        let mut voice = voice();
        let much = "x".repeat(40 << 20);
        voice.hear(Event::Start);
        voice.hear(Event::Open { choice: 0, block: 0, opening: Opening::Text });
        voice.hear(delta(&much));
        assert_eq!(voice.ending, None);
        voice.out.clear();
        voice.hear(delta(&much));
        assert!(matches!(&voice.ending, Some(Ending::Failed(_))));
        assert!(voice.out.starts_with(b"data: {\"error\""));
    }
}
