//! The positions of signed reasoning between the texts and calls of a message.
//!
//! Anthropic refuses a history in which its signed blocks stand elsewhere, and a message of Chat
//! Completions has one text, one list of calls and one list of `thinking_blocks`. A block in front
//! of all else goes to the client as it is, and so do hidden ones next to it. The signature of any other one is wrapped together with
//! what was said since the signed block before it, so that clients which keep only the fields they
//! know keep the order too.

use std::borrow::Cow;

use crate::{
    Signature, Vendor,
    chat::Piece,
    signature::{unwrap, wrap},
};

/// The first letter of a wrapped signature with a layout, where others name their provider.
const PLACED: char = 'p';

/// The content between two blocks of signed reasoning, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A number of characters of text.
    Text(u64),
    /// A number of calls.
    Calls(u64),
}

/// The content of a message since its last signed reasoning.
#[derive(Debug, Default)]
pub(super) struct Layout {
    steps: Vec<Step>,
    /// Whether there was signed reasoning, and whether other content came before it.
    signed: bool,
    said: bool,
}

impl Layout {
    /// Adds text.
    pub(super) fn text(&mut self, characters: u64) {
        match self.steps.last_mut() {
            _ if characters == 0 => {}
            Some(Step::Text(length)) => *length += characters,
            _ => self.steps.push(Step::Text(characters)),
        }
    }

    /// Adds a call.
    pub(super) fn call(&mut self) {
        match self.steps.last_mut() {
            Some(Step::Calls(count)) => *count += 1,
            _ => self.steps.push(Step::Calls(1)),
        }
    }

    /// Returns the signature of reasoning at this position, in the form that the client keeps.
    pub(super) fn sign<'s>(&mut self, signature: &'s Signature<'_>) -> Cow<'s, str> {
        let steps = std::mem::take(&mut self.steps);
        self.said |= !steps.is_empty();
        let first = !std::mem::replace(&mut self.signed, true);
        if !self.said && (first || signature.redacted) {
            return Cow::Borrowed(&signature.data);
        }
        let steps: String = steps.iter().map(Step::written).collect();
        wrap(&format!("{PLACED}{steps}:{}", signature.data)).into()
    }
}

impl Step {
    fn written(&self) -> String {
        match self {
            Step::Text(length) => format!("t{length}"),
            Step::Calls(count) => format!("c{count}"),
        }
    }

    /// Reads `t12c1`.
    fn read_all(text: &str) -> Option<Vec<Step>> {
        let starts = text.char_indices().filter(|(_, c)| c.is_ascii_alphabetic());
        let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
        if starts.first().is_some_and(|first| *first > 0) || starts.is_empty() != text.is_empty() {
            return None;
        }
        let ends = starts.iter().skip(1).copied().chain([text.len()]);
        let steps = starts.iter().zip(ends).map(|(&start, end)| {
            let count = text.get(start + 1..end)?.parse().ok()?;
            match text.as_bytes()[start] {
                b't' => Some(Step::Text(count)),
                b'c' => Some(Step::Calls(count)),
                _ => None,
            }
        });
        steps.collect()
    }
}

/// Signed reasoning as a client returns it.
#[derive(Debug)]
pub(super) struct Signed<'a> {
    /// The content between it and the previous signed reasoning; `None` if that is unknown.
    steps: Option<Vec<Step>>,
    piece: Piece<'a>,
}

impl<'a> Signed<'a> {
    /// Reads a block from its text and the field of its signature; `None` for an incomplete wrapped
    /// signature.
    pub(super) fn read(text: Cow<'a, str>, field: Cow<'a, str>, redacted: bool) -> Option<Self> {
        if let Some((steps, data)) = placed(&field) {
            let signature = Signature { redacted, ..Signature::new(Vendor::Anthropic, data) };
            return Some(Self {
                steps,
                piece: Piece::Thinking { text, signature: Some(signature) },
            });
        }
        let signature = match field {
            Cow::Borrowed(field) => Signature::read(field, Vendor::Anthropic)?,
            Cow::Owned(field) => Signature::read(&field, Vendor::Anthropic)?.into_owned(),
        };
        let redacted = redacted || signature.redacted;
        let signature = Signature { redacted, ..signature };
        Some(Self { steps: None, piece: Piece::Thinking { text, signature: Some(signature) } })
    }

    fn is_redacted(&self) -> bool {
        matches!(&self.piece, Piece::Thinking { signature: Some(signature), .. } if signature.redacted)
    }

    /// Returns the reasoning without its position.
    pub(super) fn into_piece(self) -> Piece<'a> {
        self.piece
    }
}

fn placed(field: &str) -> Option<(Option<Vec<Step>>, String)> {
    if !Signature::is_own(field) {
        return None;
    }
    let text = unwrap(field)?;
    let (steps, data) = text.strip_prefix(PLACED)?.split_once(':')?;
    Some((Step::read_all(steps), data.to_owned()))
}

/// Restores signed reasoning to its positions among the other pieces of its message: texts and
/// refusals, then calls. If positions are unknown, all of it is dropped, because misplaced
/// reasoning is refused in every later turn.
pub(super) fn restored<'a>(
    signed: Vec<Signed<'a>>,
    said: Vec<Piece<'a>>,
    calls: Vec<Piece<'a>>,
) -> Vec<Piece<'a>> {
    let mut rest = Rest { said: said.into(), calls: calls.into() };
    let known = signed.iter().enumerate().all(|(n, one)| {
        let in_front = || n == 0 || one.is_redacted() && signed[n - 1].steps.is_none();
        one.steps.is_some() || in_front()
    });
    if !known || !rest.can_give(&signed) {
        return rest.said.into_iter().chain(rest.calls).collect();
    }
    let mut pieces = Vec::with_capacity(signed.len() + rest.said.len() + rest.calls.len());
    for one in signed {
        for step in one.steps.unwrap_or_default() {
            match step {
                Step::Text(length) => rest.text(length, &mut pieces),
                Step::Calls(count) => {
                    let count = usize::try_from(count).unwrap_or_default().min(rest.calls.len());
                    pieces.extend(rest.calls.drain(..count));
                }
            }
        }
        pieces.push(one.piece);
    }
    pieces.extend(rest.said);
    pieces.extend(rest.calls);
    pieces
}

/// The pieces without a position.
struct Rest<'a> {
    said: std::collections::VecDeque<Piece<'a>>,
    calls: std::collections::VecDeque<Piece<'a>>,
}

impl<'a> Rest<'a> {
    /// Whether there is as much content as the layouts describe.
    fn can_give(&self, signed: &[Signed<'_>]) -> bool {
        let steps = signed.iter().filter_map(|one| one.steps.as_ref()).flatten();
        let (mut text, mut calls) = (0_u64, 0_u64);
        for step in steps {
            match step {
                Step::Text(length) => text = text.saturating_add(*length),
                Step::Calls(count) => calls = calls.saturating_add(*count),
            }
        }
        let there = self.said.iter().map(|piece| match piece {
            Piece::Text { text, .. } => text.chars().count() as u64,
            _ => 0,
        });
        text <= there.sum() && calls <= self.calls.len() as u64
    }

    /// Moves a number of characters of text, splitting a piece if one ends inside it.
    fn text(&mut self, mut length: u64, pieces: &mut Vec<Piece<'a>>) {
        while length > 0 {
            let Some(piece) = self.said.pop_front() else { return };
            let Piece::Text { text, signature } = piece else {
                pieces.push(piece);
                continue;
            };
            let whole = text.chars().count() as u64;
            if whole <= length {
                length -= whole;
                pieces.push(Piece::Text { text, signature });
                continue;
            }
            let at = usize::try_from(length).unwrap_or(usize::MAX);
            let at = text.char_indices().nth(at).map_or(text.len(), |(at, _)| at);
            let (head, tail) = cut(text, at);
            pieces.push(Piece::Text { text: head, signature: None });
            self.said.push_front(Piece::Text { text: tail, signature });
            return;
        }
    }
}

fn cut(text: Cow<'_, str>, at: usize) -> (Cow<'_, str>, Cow<'_, str>) {
    match text {
        Cow::Borrowed(text) => (text[..at].into(), text[at..].into()),
        Cow::Owned(mut text) => {
            let tail = text.split_off(at);
            (text.into(), tail.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::Name;

    fn text(text: &str) -> Piece<'_> {
        Piece::Text { text: text.into(), signature: None }
    }

    fn call(id: &str) -> Piece<'_> {
        let name = Name::plain("f");
        Piece::Call { id: id.into(), name, input: "{}".into(), signature: None }
    }

    fn told(pieces: &[Piece<'_>]) -> String {
        let one = |piece: &Piece<'_>| match piece {
            Piece::Text { text, .. } => format!("{text:?}"),
            Piece::Call { id, .. } => id.to_string(),
            Piece::Thinking { signature, .. } => signature.as_ref().unwrap().data.to_string(),
            _ => "?".to_owned(),
        };
        pieces.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// What a client keeps of a message that said this: `s` signs, `t` is two characters, `c` calls.
    fn kept(said: &str) -> (Vec<Signed<'static>>, Vec<String>) {
        let mut layout = Layout::default();
        let (mut all, mut fields) = (Vec::new(), Vec::new());
        for step in said.chars() {
            match step {
                't' => layout.text(2),
                'c' => layout.call(),
                _ => {
                    let signature =
                        Signature::new(Vendor::Anthropic, format!("S{}", all.len() + 1));
                    let field = layout.sign(&signature).into_owned();
                    fields.push(field.clone());
                    all.push(Signed::read("".into(), field.into(), false).unwrap());
                }
            }
        }
        (all, fields)
    }

    #[track_caller]
    fn check(said: &str, content: &str, calls: usize, expected: &str) {
        let calls = ["a", "b", "c"].into_iter().take(calls).map(call).collect();
        let content = if content.is_empty() { Vec::new() } else { vec![text(content)] };
        assert_eq!(told(&restored(kept(said).0, content, calls)), expected, "{said}");
    }

    #[test]
    fn signed_thoughts_go_back_where_they_stood() {
        check("sc", "", 1, "S1 a");
        check("scsc", "", 2, "S1 a S2 b");
        check("tsc", "hé", 1, "\"hé\" S1 a");
        check("csc", "", 2, "a S1 b");
        check("sstc", "hi", 1, "S1 S2 \"hi\" a");
        check("stctsc", "hiyo", 2, "S1 \"hi\" a \"yo\" S2 b");
        check("sctsc", "hi yo", 2, "S1 a \"hi\" S2 \" yo\" b");
    }

    #[test]
    fn where_the_order_is_lost_no_signed_thought_goes_back() {
        // The client left out its text, or a call.
        check("tsc", "", 1, "a");
        check("scsc", "x", 0, "\"x\"");
        // Signatures of another gateway say nothing of their place.
        let foreign = |data: &str| Signed::read("".into(), data.to_owned().into(), false).unwrap();
        let one = restored(vec![foreign("A")], vec![text("x")], vec![call("a")]);
        assert_eq!(told(&one), "A \"x\" a");
        let two = restored(vec![foreign("A"), foreign("B")], vec![], vec![call("a"), call("b")]);
        assert_eq!(told(&two), "a b");
        // One that is hidden stands next to the one that is shown.
        let hidden = Signed::read("".into(), "R".into(), true).unwrap();
        let both = restored(vec![foreign("A"), hidden], vec![], vec![call("a")]);
        assert_eq!(told(&both), "A R a");
    }

    #[test]
    fn only_a_thought_in_front_of_all_else_travels_as_it_is() {
        assert_eq!(kept("sc").1, ["S1"]);
        let fields = kept("scs").1;
        assert_eq!(fields[0], "S1");
        assert!(Signature::is_own(&fields[1]));
        // Nobody else takes it for a signature.
        assert_eq!(Signature::read(&fields[1], Vendor::Anthropic), None);
        assert!(Signed::read("".into(), "dG9sbGdhdGU6!".into(), false).is_none());
    }
}
