//! What a client asks for on a socket, and the call that becomes of it: the fields of
//! `POST /v1/responses` as they came, without what belongs to the socket alone.

use std::{borrow::Cow, fmt};

use bytes::{Bytes, BytesMut};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Value, value::RawValue};

use super::{
    events::Error,
    history::{History, Kept},
};
use crate::memory::Held;

/// Longest name of a lane.
const LANE_MAX: usize = 256;

/// An event of the client.
#[derive(Debug)]
pub(super) enum Asked {
    Create(Create),
    /// To change what a running response does.
    Steer(Value),
    /// Nothing that needs an answer.
    Nothing,
}

/// A `response.create`.
#[derive(Debug)]
pub(super) struct Create {
    /// The lane; events of the response name it.
    pub(super) lane: Option<String>,
    /// Whether there is to be an answer; without one only the request is kept.
    pub(super) generates: bool,
    /// All of the event.
    pub(super) text: Bytes,
    _memory: Option<Held>,
}

/// Why an event cannot be read.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) lane: Option<String>,
    words: &'static str,
}

/// The call that a request becomes.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) body: BytesMut,
    /// The model as the client named it, as JSON.
    pub(super) model: String,
    /// What is kept of it once it is answered; the output is still missing.
    pub(super) kept: Kept,
}

impl Asked {
    pub(super) fn read(text: Bytes) -> Result<Self, Fault> {
        let fault = |lane, words| Fault { lane, words };
        let Ok(object) = serde_json::from_slice::<Object<'_>>(&text) else {
            return Err(fault(None, "the event must be a JSON object with a `type`"));
        };
        let lane = object.text("stream_id").map(Cow::into_owned);
        if lane.as_ref().is_some_and(|lane| lane.len() > LANE_MAX) {
            return Err(fault(None, "`stream_id` must be at most 256 bytes"));
        }
        match object.text("type").as_deref() {
            Some("response.create") => {
                let generates = object.get("generate").is_none_or(|it| it.get() != "false");
                Ok(Asked::Create(Create { lane, generates, text, _memory: None }))
            }
            Some("response.steer") => {
                Ok(Asked::Steer(serde_json::from_slice(&text).unwrap_or_default()))
            }
            // Codex tells with it that it is done with a response.
            Some("response.processed") => Ok(Asked::Nothing),
            _ => Err(fault(lane, "`type` must be `response.create`")),
        }
    }
}

impl Fault {
    pub(super) fn error(&self) -> Error<'static> {
        Error {
            status: 400,
            kind: "invalid_request_error",
            code: "invalid_event",
            message: self.words,
        }
    }
}

impl Create {
    /// The same, with the memory that it is counted with.
    pub(super) fn held(self, memory: Held) -> Self {
        Self { _memory: Some(memory), ..self }
    }

    /// The body of the call, with what `history` knows of the response that it goes on from.
    pub(super) fn build(&self, history: &History) -> Result<Built, Fault> {
        let fault = |words| Fault { lane: self.lane.clone(), words };
        let object = serde_json::from_slice::<Object<'_>>(&self.text);
        let object = object.map_err(|_| fault("the event must be a JSON object"))?;
        let mut input = self.items(object.get("input")).map_err(fault)?;
        let mut kept = Kept {
            items: input.clone().unwrap_or_default(),
            stored: object.get("store").is_none_or(|store| store.get() != "false"),
            ..Kept::default()
        };
        kept.base = object.text("previous_response_id").map(Cow::into_owned);
        let parent = kept.base.as_deref().and_then(|id| history.find(id));
        if let Some(parent) = parent.filter(|parent| !parent.stored) {
            let (mut items, base) = parent.conversation();
            items.extend(input.unwrap_or_default());
            input = Some(items);
            // What is kept names the conversation by its turns, and the call by its oldest one.
            kept.base = None;
            return Ok(self.written(&object, base, input, Kept { parent: Some(parent), ..kept }));
        }
        let base = kept.base.clone();
        Ok(self.written(&object, base, input, kept))
    }

    /// The items of an input; a text is one.
    fn items(&self, input: Option<&RawValue>) -> Result<Option<Vec<Bytes>>, &'static str> {
        let Some(input) = input.map(RawValue::get) else { return Ok(None) };
        match input.as_bytes().first() {
            Some(b'[') => {
                let items: Vec<&RawValue> =
                    serde_json::from_str(input).map_err(|_| "`input` is not valid JSON")?;
                let own = |item: &RawValue| self.text.slice_ref(item.get().as_bytes());
                Ok(Some(items.into_iter().map(own).collect()))
            }
            Some(b'"') => {
                let item = format!(r#"{{"type":"message","role":"user","content":{input}}}"#);
                Ok(Some(vec![item.into()]))
            }
            Some(b'n') => Ok(None),
            _ => Err("`input` must be a text or a list of items"),
        }
    }

    fn written(
        &self,
        object: &Object<'_>,
        base: Option<String>,
        input: Option<Vec<Bytes>>,
        kept: Kept,
    ) -> Built {
        let size: usize = input.iter().flatten().map(|item| item.len() + 1).sum();
        let mut body = BytesMut::with_capacity(self.text.len() + size + 64);
        body.extend_from_slice(b"{\"stream\":true");
        for (name, value) in &object.0 {
            if !OF_THE_SOCKET.contains(&name.as_ref()) {
                push_field(&mut body, name, value.get());
            }
        }
        if let Some(base) = base {
            push_field(&mut body, "previous_response_id", &Value::from(base).to_string());
        }
        if let Some(items) = input {
            body.extend_from_slice(b",\"input\":[");
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    body.extend_from_slice(b",");
                }
                body.extend_from_slice(item);
            }
            body.extend_from_slice(b"]");
        }
        body.extend_from_slice(b"}");
        let model = object.get("model").map_or("null", RawValue::get).to_owned();
        Built { body, model, kept }
    }
}

/// Fields that are the socket's, or are written anew.
const OF_THE_SOCKET: [&str; 7] =
    ["type", "stream_id", "generate", "stream", "background", "previous_response_id", "input"];

fn push_field(body: &mut BytesMut, name: &str, value: &str) {
    body.extend_from_slice(b",");
    body.extend_from_slice(Value::from(name).to_string().as_bytes());
    body.extend_from_slice(b":");
    body.extend_from_slice(value.as_bytes());
}

/// The fields of a JSON object in their order, their values as they came.
struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// The last field of this name, as JSON readers take it.
    fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(own, _)| own == name).map(|(_, value)| *value)
    }

    fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        serde_json::from_str(self.get(name)?.get()).ok()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Object<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields = Vec::new();
                while let Some((name, value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name.0, value));
                }
                Ok(fields)
            }
        }
        from.deserialize_map(Fields).map(Object)
    }
}

/// A name, borrowed where it has no escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Name<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Cow<'de, str>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Cow::Borrowed(text))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Cow::Owned(text.to_owned()))
            }
        }
        from.deserialize_str(Text).map(Name)
    }
}

/// The size of items, in bytes.
pub(super) fn size(items: &[Bytes]) -> u64 {
    items.iter().map(|item| item.len() as u64).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(text: &str) -> Create {
        match Asked::read(Bytes::copy_from_slice(text.as_bytes())) {
            Ok(Asked::Create(create)) => create,
            other => panic!("{other:?}"),
        }
    }

    fn body(create: &Create, history: &History) -> String {
        String::from_utf8(create.build(history).unwrap().body.to_vec()).unwrap()
    }

    #[test]
    fn a_call_has_the_fields_of_the_event_as_they_came() {
        let create = create(
            r#"{"type":"response.create","stream_id":"main","model":"m","temperature":1e0,"background":false,"input":"hi","x":[1, 2]}"#,
        );
        assert_eq!((create.lane.as_deref(), create.generates), (Some("main"), true));
        assert_eq!(
            body(&create, &History::default()),
            r#"{"stream":true,"model":"m","temperature":1e0,"x":[1, 2],"input":[{"type":"message","role":"user","content":"hi"}]}"#
        );
    }

    #[test]
    fn a_response_of_this_socket_is_put_into_the_input_and_any_other_is_named() {
        let history = History::default();
        let first = create(r#"{"type":"response.create","input":[{"a":1}],"store":false}"#);
        let mut kept = first.build(&history).unwrap().kept;
        kept.items.push(Bytes::from_static(b"{\"said\":1}"));
        history.keep("resp_1".into(), kept);
        let next = r#"{"type":"response.create","previous_response_id":"ID","input":[{"b":2}]}"#;
        let local = create(&next.replace("ID", "resp_1"));
        let wanted = r#"{"stream":true,"input":[{"a":1},{"said":1},{"b":2}]}"#;
        assert_eq!(body(&local, &history), wanted);
        let other = create(&next.replace("ID", "resp_0"));
        let wanted = r#"{"stream":true,"previous_response_id":"resp_0","input":[{"b":2}]}"#;
        assert_eq!(body(&other, &history), wanted);
        history.keep("resp_2".into(), Kept { stored: true, ..Kept::default() });
        let stored = create(&next.replace("ID", "resp_2"));
        assert!(body(&stored, &history).contains(r#""previous_response_id":"resp_2""#));
    }

    #[test]
    fn what_is_no_event_is_told_in_words() {
        for (text, words) in [
            ("[]", "JSON object"),
            ("{", "JSON object"),
            ("{}", "`type`"),
            (r#"{"type":"session.update"}"#, "`type`"),
        ] {
            let fault = Asked::read(Bytes::from(text.to_owned())).unwrap_err();
            assert!(fault.words.contains(words), "{text}: {}", fault.words);
        }
        let create = create(r#"{"type":"response.create","input":7}"#);
        assert!(create.build(&History::default()).unwrap_err().words.contains("`input`"));
    }
}
