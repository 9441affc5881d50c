//! A call that arrives in fragments.
//!
//! Servers differ: most send id and name once, some with every fragment, some split the name, some
//! omit the index. A call is emitted when its name is known to be complete, which is when its input
//! begins.

use std::borrow::Cow;

use crate::{
    Names, Signature, Value, Vendor,
    chat::{Event, Opening},
    free_form::Unwrapper,
    halves::{Joiner, Mender},
};

/// A call in progress.
#[derive(Debug)]
pub(super) struct Call {
    /// The server's index of the call.
    pub(super) index: Option<u64>,
    /// The server's id, once it is known.
    pub(super) id: String,
    /// The generated id, if the server sends none.
    made_id: String,
    name: String,
    /// Whether the server declares that the input is plain text.
    custom: bool,
    signature: Option<Signature<'static>>,
    is_signed: bool,
    input: Input,
    /// The block of the call, once it was emitted.
    block: Option<u32>,
    closed: bool,
}

/// The state of the input.
#[derive(Debug, Default)]
struct Input {
    begun: bool,
    /// Input that came before the name.
    held: String,
    whole: Whole,
    unwrapper: Option<Unwrapper>,
    half: Joiner,
    mender: Mender,
}

impl Call {
    pub(super) fn new(index: Option<u64>, made_id: String) -> Call {
        Call {
            index,
            id: String::new(),
            made_id,
            name: String::new(),
            custom: false,
            signature: None,
            is_signed: false,
            input: Input::default(),
            block: None,
            closed: false,
        }
    }

    /// Whether a fragment with this id may belong to this call.
    pub(super) fn may_be(&self, id: &str) -> bool {
        id.is_empty() || self.id.is_empty() || self.id == id
    }

    /// Whether the input is a complete JSON value; unknown for plain text.
    pub(super) fn is_whole(&self) -> bool {
        !self.custom && self.input.whole.is_whole()
    }

    /// Adds a part of the name, or the same name again.
    pub(super) fn named(&mut self, name: &str, custom: bool) {
        self.custom |= custom;
        if !self.input.begun && self.block.is_none() && self.name != name {
            self.name.push_str(name);
        }
    }

    /// Whether the call was emitted.
    pub(super) fn is_told(&self) -> bool {
        self.block.is_some()
    }

    /// Sets the signature of the call. The caller emits one that comes after the call was emitted.
    pub(super) fn set_signature(&mut self, signature: Signature<'static>) {
        self.is_signed = true;
        if self.block.is_none() {
            self.signature = Some(signature);
        }
    }

    /// Whether the call has a signature.
    pub(super) fn is_signed(&self) -> bool {
        self.is_signed
    }

    /// Whether a signature can precede the call, because it has none of its own.
    pub(super) fn may_be_signed(&self) -> bool {
        let own =
            self.signature.as_ref().is_some_and(|signature| signature.vendor == Vendor::Gemini);
        self.block.is_none() && !own
    }

    /// Returns the id with which the call was emitted.
    pub(super) fn told_id(&self) -> &str {
        if self.id.is_empty() { &self.made_id } else { &self.id }
    }

    /// Adds input: text, or an object.
    pub(super) fn input(
        &mut self,
        value: &Value<'_>,
        place: &mut Place<'_>,
        emit: &mut dyn FnMut(Event<'_>),
    ) {
        match value.is_object() {
            true => self.add(value.raw(), place, emit),
            false => {
                let piece = self.input.half.join(value);
                self.add(&piece, place, emit);
            }
        }
    }

    fn add(&mut self, piece: &str, place: &mut Place<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        if self.closed {
            return;
        }
        self.input.whole.push(piece);
        let held = std::mem::take(&mut self.input.held);
        if self.name.is_empty() {
            self.input.held = held + piece;
            return;
        }
        let joined = if held.is_empty() { Cow::Borrowed(piece) } else { (held + piece).into() };
        let piece = &*joined;
        if piece.is_empty() {
            return;
        }
        self.input.begun = true;
        let block = self.open(place, emit);
        let text = match &mut self.input.unwrapper {
            Some(unwrapper) => Cow::Owned(unwrapper.push(piece)),
            None if self.custom => Cow::Borrowed(piece),
            None => self.input.mender.push(piece),
        };
        if !text.is_empty() {
            emit(Event::Delta { choice: place.choice, block, text });
        }
    }

    /// Emits the call because something else has begun, so that its name is complete; closes it if
    /// its input is complete.
    pub(super) fn settle(&mut self, place: &mut Place<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        if !self.closed && !self.name.is_empty() {
            self.open(place, emit);
        }
        if self.is_whole() {
            self.close(place, emit);
        }
    }

    /// Emits the call if that was not done yet.
    fn open(&mut self, place: &mut Place<'_>, emit: &mut dyn FnMut(Event<'_>)) -> u32 {
        if let Some(block) = self.block {
            return block;
        }
        let block = *place.next;
        *place.next += 1;
        self.block = Some(block);
        let mut name = place.names.back(Cow::Borrowed(&self.name));
        if name.free_form && !self.custom {
            self.input.unwrapper = Some(Unwrapper::default());
        }
        name.free_form |= self.custom;
        let opening = Opening::Call { id: Cow::Borrowed(self.told_id()), name };
        emit(Event::Open { choice: place.choice, block, opening });
        if let Some(signature) = self.signature.take() {
            emit(Event::Signature { choice: place.choice, block, signature });
        }
        block
    }

    /// Closes the call.
    pub(super) fn close(&mut self, place: &mut Place<'_>, emit: &mut dyn FnMut(Event<'_>)) {
        if self.closed {
            return;
        }
        let half = self.input.half.rest();
        if !half.is_empty() {
            self.add(half, place, emit);
        }
        self.closed = true;
        if self.name.is_empty() {
            return; // What has no name cannot be called.
        }
        let block = self.open(place, emit);
        let rest = match &mut self.input.unwrapper {
            Some(unwrapper) => unwrapper.finish(),
            None => self.input.mender.rest(),
        };
        if !rest.is_empty() {
            emit(Event::Delta { choice: place.choice, block, text: rest.into() });
        }
        emit(Event::Close { choice: place.choice, block });
    }
}

/// The output of a call.
pub(super) struct Place<'p> {
    pub(super) choice: u32,
    /// The number of the next block.
    pub(super) next: &'p mut u32,
    pub(super) names: &'p Names,
}

/// Detects the end of a JSON object that arrives in pieces.
#[derive(Debug, Default)]
struct Whole {
    depth: u32,
    in_text: bool,
    escaped: bool,
    whole: bool,
}

impl Whole {
    fn push(&mut self, piece: &str) {
        for byte in piece.bytes() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.whole = self.depth == 0;
                }
                _ => {}
            }
        }
    }

    fn is_whole(&self) -> bool {
        self.whole && self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_object_is_whole_when_it_closes() {
        let check = |pieces: &[&str], whole: bool| {
            let mut watch = Whole::default();
            pieces.iter().for_each(|piece| watch.push(piece));
            assert_eq!(watch.is_whole(), whole, "{pieces:?}");
        };
        check(&[r#"{"a":"#, r#"1}"#], true);
        check(&["{}"], true);
        check(&[""], false);
        check(&[r#"{"a":{}"#], false);
        check(&[r#"{"a":"}"#], false);
        check(&["{\"a\":\"\\", "\"}"], false);
        check(&["{\"a\":\"\\", "\"\"}"], true);
        check(&[r#"["}"]"#], true);
    }
}
