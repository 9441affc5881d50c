//! The blocks of one candidate: the open block and what waits behind it.

use std::{borrow::Cow, collections::VecDeque};

use crate::{
    Signature,
    chat::{Citation, Event, Image, Opening},
};

/// The content of a block event.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Text(Cow<'a, str>),
    Signature(Signature<'a>),
    Cite(Citation<'a>),
}

/// The state of one candidate.
#[derive(Debug)]
pub(super) struct Candidate {
    choice: u32,
    signatures_in_front: bool,
    /// The output number of the next block.
    next: u32,
    /// The input blocks that are open.
    known: Vec<(u32, Kind)>,
    /// The output block that is open.
    current: Option<Current>,
    /// A call whose signature may come with the next event and must precede it.
    held: Option<(u32, Opening<'static>)>,
    queue: VecDeque<Waiting>,
    /// Images that came while a call was open.
    images: Vec<Image<'static>>,
    waiting: usize,
    finished: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Refusal,
    Call,
}

#[derive(Debug, Clone, Copy)]
struct Current {
    /// The input number of the block.
    block: u32,
    /// The output number of the block.
    number: u32,
    kind: Kind,
    sealed: bool,
}

/// A block that came while a call was open.
#[derive(Debug)]
struct Waiting {
    block: u32,
    opening: Opening<'static>,
    text: String,
    signature: Option<Signature<'static>>,
    citations: Vec<Citation<'static>>,
    closed: bool,
    size: usize,
}

impl Candidate {
    pub(super) fn new(choice: u32, signatures_in_front: bool) -> Self {
        Self {
            choice,
            signatures_in_front,
            next: 0,
            known: Vec::new(),
            current: None,
            held: None,
            queue: VecDeque::new(),
            images: Vec::new(),
            waiting: 0,
            finished: false,
        }
    }

    pub(super) fn choice(&self) -> u32 {
        self.choice
    }

    /// Returns the number of waiting bytes.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn open(
        &mut self,
        block: u32,
        opening: Opening<'_>,
        each: &mut dyn FnMut(Event<'_>),
    ) {
        if self.finished || self.kind_of(block).is_some() {
            return;
        }
        self.release(None, each);
        let kind = Kind::of(&opening);
        self.known.push((block, kind));
        match kind {
            // It is opened with its first text.
            Kind::Text | Kind::Refusal => {}
            Kind::Thinking | Kind::Call if self.in_call() => {
                self.enqueue(block, opening.into_owned());
            }
            Kind::Call if self.signatures_in_front => {
                self.held = Some((block, opening.into_owned()))
            }
            Kind::Thinking | Kind::Call => self.begin(block, opening, each),
        }
    }

    pub(super) fn content(
        &mut self,
        block: u32,
        content: Content<'_>,
        each: &mut dyn FnMut(Event<'_>),
    ) {
        if matches!(&content, Content::Text(text) if text.is_empty()) {
            return;
        }
        let Some(kind) = self.kind_of(block).filter(|_| !self.finished) else { return };
        let signs = matches!(content, Content::Signature(_));
        if self.signatures_in_front && signs && matches!(kind, Kind::Text | Kind::Refusal) {
            return;
        }
        if let (Some((held, _)), Content::Signature(signature)) = (&self.held, &content)
            && *held == block
        {
            return self.release(Some(signature.clone()), each);
        }
        self.release(None, each);
        if self.current.is_none_or(|current| current.block != block) {
            if self.in_call() {
                return self.wait(block, kind, content);
            }
            self.begin(block, kind.opening(), each);
        }
        self.say(content, each);
    }

    /// Emits an image between blocks; a text that it interrupts continues in another block.
    pub(super) fn image(&mut self, image: Image<'_>, each: &mut dyn FnMut(Event<'_>)) {
        if self.finished {
            return;
        }
        self.release(None, each);
        if self.in_call() {
            self.waiting += image.data.len();
            return self.images.push(image.into_owned());
        }
        self.end(each);
        each(Event::Image { choice: self.choice, image });
    }

    pub(super) fn close(&mut self, block: u32, each: &mut dyn FnMut(Event<'_>)) {
        self.release(None, each);
        self.known.retain(|(known, _)| *known != block);
        if self.current.is_some_and(|current| current.block == block) {
            self.end_unless_unsigned(each);
            self.drain(each);
            self.show(each);
        } else if let Some(waiting) = self.queue.iter_mut().rev().find(|w| w.block == block) {
            waiting.closed = true;
        }
    }

    /// Emits everything that is left; returns whether the candidate finished with it.
    pub(super) fn flush(&mut self, each: &mut dyn FnMut(Event<'_>)) -> bool {
        if self.finished {
            return false;
        }
        self.release(None, each);
        self.end(each);
        self.queue.iter_mut().for_each(|waiting| waiting.closed = true);
        self.drain(each);
        self.end(each);
        self.show(each);
        self.known.clear();
        self.finished = true;
        true
    }

    fn kind_of(&self, block: u32) -> Option<Kind> {
        self.known.iter().rev().find(|(known, _)| *known == block).map(|(_, kind)| *kind)
    }

    fn in_call(&self) -> bool {
        self.current.is_some_and(|current| current.kind == Kind::Call)
    }

    /// Opens a block and closes the open one.
    fn begin(&mut self, block: u32, opening: Opening<'_>, each: &mut dyn FnMut(Event<'_>)) {
        self.end(each);
        let number = self.next;
        self.next += 1;
        self.current = Some(Current { block, number, kind: Kind::of(&opening), sealed: false });
        each(Event::Open { choice: self.choice, block: number, opening });
    }

    /// Emits content of the open block.
    fn say(&mut self, content: Content<'_>, each: &mut dyn FnMut(Event<'_>)) {
        let Some(current) = &mut self.current else { return };
        let (choice, block) = (self.choice, current.number);
        each(match content {
            Content::Text(text) => Event::Delta { choice, block, text },
            Content::Cite(citation) => Event::Cite { choice, block, citation },
            Content::Signature(signature) => {
                current.sealed = true;
                Event::Signature { choice, block, signature }
            }
        });
    }

    fn end(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        if let Some(current) = self.current.take() {
            each(Event::Close { choice: self.choice, block: current.number });
        }
    }

    /// Closes the open block, unless it is unsigned reasoning that may still get the signature of
    /// the call after it.
    fn end_unless_unsigned(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        let unsigned = |open: Current| open.kind == Kind::Thinking && !open.sealed;
        if !(self.signatures_in_front && self.current.is_some_and(unsigned)) {
            self.end(each);
        }
    }

    /// Opens the call that was held for its signature.
    fn release(&mut self, signature: Option<Signature<'_>>, each: &mut dyn FnMut(Event<'_>)) {
        if let Some((block, opening)) = self.held.take() {
            self.call(block, opening, signature, each);
        }
    }

    /// Opens a call and places its signature.
    fn call(
        &mut self,
        block: u32,
        opening: Opening<'_>,
        signature: Option<Signature<'_>>,
        each: &mut dyn FnMut(Event<'_>),
    ) {
        let Some(signature) = signature else { return self.begin(block, opening, each) };
        if !self.signatures_in_front {
            self.begin(block, opening, each);
            return self.say(Content::Signature(signature), each);
        }
        if self.current.is_none_or(|open| open.kind != Kind::Thinking || open.sealed) {
            self.begin(block, Opening::Thinking, each);
        }
        self.say(Content::Signature(signature), each);
        self.begin(block, opening, each);
    }

    fn enqueue(&mut self, block: u32, opening: Opening<'static>) {
        let size = size_of::<Waiting>()
            + match &opening {
                Opening::Call { id, name } => id.len() + name.text.len(),
                _ => 0,
            };
        self.waiting += size;
        self.queue.push_back(Waiting {
            block,
            opening,
            text: String::new(),
            signature: None,
            citations: Vec::new(),
            closed: false,
            size,
        });
    }

    /// Queues content: in its waiting call, or else at the end, so that texts keep their order.
    fn wait(&mut self, block: u32, kind: Kind, content: Content<'_>) {
        let last = self.queue.len().saturating_sub(1);
        let place = match kind {
            Kind::Call => self.queue.iter().rposition(|waiting| waiting.block == block),
            _ => self.queue.back().filter(|waiting| waiting.block == block).map(|_| last),
        };
        let place = place.unwrap_or_else(|| {
            self.enqueue(block, kind.opening());
            self.queue.len() - 1
        });
        let waiting = &mut self.queue[place];
        let size = match content {
            Content::Text(text) => {
                waiting.text.push_str(&text);
                text.len()
            }
            Content::Signature(signature) => {
                let size = signature.data.len();
                waiting.signature = Some(signature.into_owned());
                size
            }
            Content::Cite(citation) => {
                let words = citation.cited.as_ref().map_or(0, |cited| cited.len());
                let size = size_of::<Citation<'_>>() + citation.url.len() + words;
                waiting.citations.push(citation.into_owned());
                size
            }
        };
        waiting.size += size;
        self.waiting += size;
    }

    /// Emits what waits, up to a call that is incomplete.
    fn drain(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        while !self.in_call() {
            let Some(waiting) = self.queue.pop_front() else { return };
            let Waiting { block, opening, text, signature, citations, closed, size } = waiting;
            self.waiting -= size;
            let (before, behind) = match &opening {
                Opening::Call { .. } => (signature, None),
                _ => (None, signature),
            };
            self.call(block, opening, before, each);
            if !text.is_empty() {
                self.say(Content::Text(text.into()), each);
            }
            citations.into_iter().for_each(|cite| self.say(Content::Cite(cite), each));
            if let Some(signature) = behind {
                self.say(Content::Signature(signature), each);
            }
            if closed {
                self.end_unless_unsigned(each);
            }
        }
    }

    /// Emits the images that waited for a call to end.
    fn show(&mut self, each: &mut dyn FnMut(Event<'_>)) {
        if !self.in_call() && !self.images.is_empty() {
            self.end(each);
            for image in std::mem::take(&mut self.images) {
                self.waiting -= image.data.len();
                each(Event::Image { choice: self.choice, image });
            }
        }
    }
}

impl Kind {
    fn of(opening: &Opening<'_>) -> Kind {
        match opening {
            Opening::Text => Kind::Text,
            Opening::Thinking => Kind::Thinking,
            Opening::Refusal => Kind::Refusal,
            Opening::Call { .. } => Kind::Call,
        }
    }

    /// Returns the opening with which a split block continues. Calls are never split.
    fn opening(self) -> Opening<'static> {
        match self {
            Kind::Text | Kind::Call => Opening::Text,
            Kind::Thinking => Opening::Thinking,
            Kind::Refusal => Opening::Refusal,
        }
    }
}
