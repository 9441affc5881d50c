//! Signatures of servers that serve models of other providers in this dialect.
//!
//! Google's models sign calls in `extra_content`, and OpenRouter tells of thoughts and their signatures
//! in `reasoning_details`. Either is refused or forgotten unless it comes back as it was sent, and
//! it comes back only to the model that sent it: others refuse members that they do not know. An
//! upstream whose profile says that it wants signatures gets those of Google's own dialect as well.
//! <https://ai.google.dev/gemini-api/docs/thought-signatures#openai>
//! <https://openrouter.ai/docs/use-cases/reasoning-tokens#preserving-reasoning-blocks>

use std::borrow::Cow;

use crate::{
    Profile, Signature, Value, Vendor,
    chat::Piece,
    halves::mended,
    signature::Via,
    write::{self, Array, Object},
};

/// What stands for the signature of a call that the model did not make.
const NO_PROOF: &str = "skip_thought_signature_validator";

/// Whose names a signature may stand under in `extra_content`.
const PLACES: [&str; 2] = ["google", "vertex"];

/// Largest `reasoning_details` that are kept, in bytes.
const MAX_DETAILS: usize = 4 << 20;

/// Finds the signature of a call or a message, and the name of its member.
pub(super) fn find<'a>(holder: &Value<'a>) -> Option<(&'static str, Signature<'a>)> {
    let extra = holder.get("extra_content");
    PLACES.into_iter().find_map(|place| {
        let signature = match extra.get(place).get("thought_signature").cow()? {
            Cow::Borrowed(text) => Signature::read(text, Vendor::Gemini)?,
            Cow::Owned(text) => Signature::read(&text, Vendor::Gemini)?.into_owned(),
        };
        Some((place, signature))
    })
}

/// Returns the signature of a call in an answer of `model`; `call` names the call if the signature
/// comes too late to precede it.
pub(super) fn signed_by<'a>(
    holder: &Value<'a>,
    model: &str,
    call: Option<&str>,
) -> Option<Signature<'a>> {
    let (place, signature) = find(holder)?;
    Some(signature.sent_by(Via { place, call, model }))
}

/// The `reasoning_details` of one message, which a stream sends in pieces.
#[derive(Debug, Default)]
pub(super) struct Details {
    all: Vec<Detail>,
    size: usize,
    /// The number of details that were emitted.
    told: usize,
}

/// One detail: its members as they were written.
#[derive(Debug)]
struct Detail {
    members: Vec<(String, String)>,
}

impl Details {
    /// Reads the details of a whole message.
    pub(super) fn of(message: &Value<'_>) -> Self {
        let mut details = Self::default();
        details.add(message);
        details
    }

    /// Adds the details of a delta.
    pub(super) fn add(&mut self, delta: &Value<'_>) {
        for value in delta.get("reasoning_details").items().iter().filter(|it| it.is_object()) {
            self.size += value.raw().len();
            if self.size > MAX_DETAILS {
                return self.all.clear();
            }
            let goes_on = self.all.last().is_some_and(|last| last.takes(value));
            match self.all.last_mut().filter(|_| goes_on) {
                Some(last) => last.extend(value),
                None => self.all.push(Detail {
                    members: value
                        .members()
                        .iter()
                        .map(|(name, value)| (name.to_string(), value.raw().to_owned()))
                        .collect(),
                }),
            }
        }
    }

    /// Returns all details as a signature of `model`; `None` if there are none or no new ones.
    pub(super) fn signature(&mut self, model: &str) -> Option<Signature<'static>> {
        if self.all.is_empty() || self.told == self.size {
            return None;
        }
        self.told = self.size;
        let mut json = Vec::new();
        write::array(&mut json, |a: &mut Array<'_>| {
            for detail in &self.all {
                a.object(|o| detail.members.iter().for_each(|(name, raw)| o.raw(name, raw)));
            }
        });
        let json = mended(String::from_utf8(json).ok()?.into()).into_owned();
        Some(Signature::new(Vendor::Compatible, json).sent_by(Via { place: "", call: None, model }))
    }
}

impl Detail {
    fn raw(&self, name: &str) -> Option<&str> {
        self.members.iter().find(|(known, _)| known == name).map(|(_, raw)| &**raw)
    }

    /// Whether `value` continues this detail: the same kind and number, and text.
    fn takes(&self, value: &Value<'_>) -> bool {
        let same = |name| self.raw(name) == value.find(name).map(Value::raw);
        let text = ["text", "summary", "signature"];
        let says = text.iter().any(|name| value.find(name).is_some());
        same("type") && same("index") && says
    }

    fn extend(&mut self, value: &Value<'_>) {
        for (name, value) in value.members().iter().filter(|(_, value)| !value.is_null()) {
            let known = self.members.iter_mut().find(|(known, _)| known == name);
            let grows = matches!(&**name, "text" | "summary") && value.text().is_some();
            match known {
                // Two JSON strings, joined without the quotes between them.
                Some((_, raw)) if grows && raw.ends_with('"') => {
                    raw.pop();
                    raw.push_str(&value.raw()[1..]);
                }
                Some((_, raw)) => value.raw().clone_into(raw),
                None => self.members.push((name.to_string(), value.raw().to_owned())),
            }
        }
    }
}

/// Returns the reasoning in `reasoning_details`, for servers that send it nowhere else.
pub(super) fn thoughts<'v, 'a>(message: &'v Value<'a>) -> impl Iterator<Item = &'v Value<'a>> {
    message.get("reasoning_details").items().iter().filter_map(|detail| {
        match detail.get("type").text()? {
            "reasoning.text" => detail.find("text"),
            "reasoning.summary" => detail.find("summary"),
            _ => None,
        }
    })
}

/// The signatures that are returned with a message of the model.
#[derive(Debug, Default)]
pub(super) struct Signatures<'p> {
    /// The signature of each call by its id, and its member.
    calls: Vec<(&'p str, &'p str, &'p str)>,
    details: Option<&'p str>,
}

impl<'p> Signatures<'p> {
    /// Collects the signatures of `pieces` that `model` may have back.
    pub(super) fn of(pieces: &[&'p Piece<'_>], model: &str, profile: &Profile) -> Self {
        let mut proofs = Self::default();
        // A signature before a call, if the client's dialect has no place for it.
        let mut before: Option<&'p Signature<'_>> = None;
        let mut first = None;
        for piece in pieces {
            match piece {
                Piece::Thinking { signature: Some(signature), .. } => {
                    match signature.via().and_then(|it| it.call) {
                        Some(call) => proofs.add(call, signature, model, profile),
                        None if signature.vendor == Vendor::Compatible => {
                            proofs.add("", signature, model, profile);
                        }
                        None => before = Some(signature),
                    }
                }
                Piece::Call { id, signature, .. } => {
                    first = first.or(Some(&**id));
                    for signature in signature.as_ref().into_iter().chain(before.take()) {
                        proofs.add(id, signature, model, profile);
                    }
                }
                _ => {}
            }
        }
        match first {
            Some(id) if profile.thought_signatures && !proofs.calls.iter().any(|it| it.0 == id) => {
                proofs.calls.push((id, PLACES[0], NO_PROOF));
            }
            _ => {}
        }
        proofs
    }

    fn add(&mut self, call: &'p str, signature: &'p Signature<'_>, model: &str, profile: &Profile) {
        let via = signature.via();
        let own = via.is_some_and(|via| via.model == model);
        match signature.vendor {
            // The last one contains all details.
            Vendor::Compatible if own => self.details = Some(&signature.data),
            Vendor::Gemini if own || profile.thought_signatures => {
                let place = via.filter(|_| own).map_or(PLACES[0], |via| via.place);
                if !self.calls.iter().any(|(known, ..)| *known == call) {
                    self.calls.push((call, place, &signature.data));
                }
            }
            _ => {}
        }
    }

    /// Writes the signature of a call.
    pub(super) fn write_call(&self, o: &mut Object<'_>, id: &str) {
        if let Some((_, place, data)) = self.calls.iter().find(|(known, ..)| *known == id) {
            o.object("extra_content", |o| {
                o.object(place, |o| o.text("thought_signature", data));
            });
        }
    }

    /// Writes the signatures of the message itself.
    pub(super) fn write_message(&self, o: &mut Object<'_>) {
        o.raw_if("reasoning_details", self.details);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_details_are_put_together_as_they_were_written() {
        let deltas = [
            r#"{"reasoning_details":[{"type":"reasoning.text","text":"a \ud83d","index":0,"format":null}]}"#,
            r#"{"reasoning_details":[{"type":"reasoning.text","text":"\ude00","index":0}]}"#,
            r#"{"reasoning_details":[{"type":"reasoning.text","signature":"S","index":0,"format":"f"},
                {"type":"reasoning.encrypted","data":"D","id":"c","index":1}]}"#,
            r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"E","id":"d","index":1}]}"#,
        ];
        let mut details = Details::default();
        for delta in deltas {
            details.add(&Value::of(delta).unwrap());
        }
        let signature = details.signature("m").unwrap();
        assert_eq!(
            &*signature.data,
            r#"[{"type":"reasoning.text","text":"a \ud83d\ude00","index":0,"format":"f","signature":"S"},{"type":"reasoning.encrypted","data":"D","id":"c","index":1},{"type":"reasoning.encrypted","data":"E","id":"d","index":1}]"#
        );
        assert_eq!(details.signature("m"), None, "all of it was told");
        details.add(&Value::of(deltas[3]).unwrap());
        assert!(details.signature("m").is_some());
    }
}
