//! Detects answers that have no content in the client's dialect.
//!
//! Some answers contain only media, only the work of tools that the provider ran itself, or nothing
//! at all. Such an answer is a failure. A stream is held back until its first content, so that the
//! next target can still be tried.

use crate::{
    Codec, Failure, FailureKind,
    chat::{Answer, Block, Event, Finish, Opening},
};

/// Most events that are held back; after that the answer begins without content.
const MAX_HELD: usize = 1024;

/// Holds the events of a stream back until its first content.
#[derive(Debug)]
pub struct Beginning {
    images: bool,
    unseen: bool,
    began: bool,
    held: Vec<Event<'static>>,
}

impl Beginning {
    /// Creates the buffer for an answer to a client of the dialect `client`.
    pub fn new(client: &dyn Codec) -> Self {
        Self { images: client.has_images(), unseen: false, began: false, held: Vec::new() }
    }

    /// Whether content has come.
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// Takes one event and emits all that may be sent now. An answer that ends without content ends
    /// with a failure.
    pub fn push(&mut self, event: Event<'_>, each: &mut dyn FnMut(Event<'_>)) {
        if matches!(event, Event::Image { .. }) && !self.images {
            self.unseen = true;
            return;
        }
        if self.began || matches!(event, Event::Failed(_)) {
            return each(event);
        }
        if matches!(event, Event::End) {
            return each(Event::Failed(nothing_left(self.unseen)));
        }
        if !says(&event) && self.held.len() < MAX_HELD {
            if matches!(event, Event::Usage(_)) {
                self.held.retain(|held| !matches!(held, Event::Usage(_)));
            }
            return self.held.push(event.into_owned());
        }
        self.began = true;
        self.held.drain(..).for_each(&mut *each);
        each(event);
    }
}

fn says(event: &Event<'_>) -> bool {
    match event {
        Event::Delta { text, .. } => !text.is_empty(),
        Event::Open { opening, .. } => matches!(opening, Opening::Call { .. }),
        Event::Image { .. } => true,
        Event::Finish { finish, .. } => explains(finish),
        _ => false,
    }
}

/// Whether an answer with this finish reason may be empty.
fn explains(finish: &Finish<'_>) -> bool {
    matches!(finish, Finish::Length | Finish::Filtered(_) | Finish::Sequence(_))
}

impl Answer<'_> {
    /// Checks that the answer has content in the dialect of `client`.
    ///
    /// # Errors
    ///
    /// Returns a failure if it has none. For an answer of only images the failure names the field
    /// `model`: no other target would serve a client without images better.
    pub fn left_for(&self, client: &dyn Codec) -> Result<(), Failure> {
        let images = client.has_images();
        let shown = |block: &Block<'_>| match block {
            Block::Text { text, .. } | Block::Thinking { text, .. } | Block::Refusal(text) => {
                !text.is_empty()
            }
            Block::Call { .. } => true,
            Block::Image(_) => images,
        };
        let mut choices = self.choices.iter();
        if choices.any(|choice| explains(&choice.finish) || choice.blocks.iter().any(shown)) {
            return Ok(());
        }
        let mut blocks = self.choices.iter().flat_map(|choice| &choice.blocks);
        Err(nothing_left(blocks.any(|block| matches!(block, Block::Image(_)))))
    }
}

fn nothing_left(images: bool) -> Failure {
    if images {
        let words = "`model` answered with images only, for which this dialect has no place";
        return Failure::unsayable("model", words);
    }
    let words = "the provider's answer holds nothing that can be said in this dialect";
    Failure::new(FailureKind::BadGateway, words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Tokens,
        chat::{Choice, Image},
        codec::{ANTHROPIC, OPENAI_CHAT},
    };

    fn image() -> Image<'static> {
        Image { mime: "image/png".into(), data: "AAAA".into() }
    }

    fn text(text: &str) -> Event<'_> {
        Event::Delta { choice: 0, block: 0, text: text.into() }
    }

    fn finish(finish: Finish<'static>) -> Event<'static> {
        Event::Finish { choice: 0, finish }
    }

    /// Checks how many events are emitted after each input event, and the status of the final
    /// failure.
    #[track_caller]
    fn check(client: &dyn Codec, events: Vec<Event<'_>>, counts: &[usize], failed: Option<u16>) {
        let mut beginning = Beginning::new(client);
        let (mut told, mut end) = (Vec::new(), None);
        for event in events {
            let mut count = 0;
            beginning.push(event, &mut |event| {
                count += 1;
                if let Event::Failed(failure) = event {
                    end = Some(failure.kind.status());
                }
            });
            told.push(count);
        }
        assert_eq!((&*told, end), (counts, failed));
    }

    #[test]
    fn a_stream_begins_when_it_says_something() {
        let open = || Event::Open { choice: 0, block: 0, opening: Opening::Text };
        let usage = || Event::Usage(Tokens::default());
        let close = || Event::Close { choice: 0, block: 0 };
        check(
            OPENAI_CHAT,
            vec![
                Event::Start,
                usage(),
                open(),
                text("a"),
                usage(),
                finish(Finish::Stop),
                Event::End,
            ],
            &[0, 0, 0, 4, 1, 1, 1],
            None,
        );
        let empty = vec![Event::Start, open(), close(), finish(Finish::Stop), Event::End];
        check(OPENAI_CHAT, empty, &[0, 0, 0, 0, 1], Some(502));
        check(OPENAI_CHAT, vec![finish(Finish::Length), Event::End], &[1, 1], None);
        let made = || Event::Image { choice: 0, image: image() };
        check(OPENAI_CHAT, vec![Event::Start, made(), Event::End], &[0, 2, 1], None);
        check(ANTHROPIC, vec![Event::Start, made(), Event::End], &[0, 0, 1], Some(400));
        check(ANTHROPIC, vec![text("a"), made(), Event::End], &[1, 0, 1], None);
    }

    #[test]
    fn an_answer_of_which_nothing_is_left_is_no_success() {
        let check = |client, blocks, finish, status: Option<u16>| {
            let choices = vec![Choice { blocks, finish, logprobs: Vec::new() }];
            let left = Answer { choices, usage: None }.left_for(client);
            assert_eq!(left.err().map(|failure| failure.kind.status()), status);
        };
        let text = |text: &'static str| Block::Text {
            text: text.into(),
            citations: vec![],
            signature: None,
        };
        check(OPENAI_CHAT, vec![], Finish::Stop, Some(502));
        check(OPENAI_CHAT, vec![text("")], Finish::Paused, Some(502));
        check(OPENAI_CHAT, vec![], Finish::Filtered(None), None);
        check(OPENAI_CHAT, vec![text("a")], Finish::Stop, None);
        check(OPENAI_CHAT, vec![Block::Image(image())], Finish::Stop, None);
        check(ANTHROPIC, vec![Block::Image(image())], Finish::Stop, Some(400));
    }
}
