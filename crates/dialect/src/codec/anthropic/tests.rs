//! What no golden case covers: rules of requests, streams and signatures by example, and what holds for
//! any input.

mod answers;
mod anything;
mod asked;
mod settings;
mod signatures;
mod told;

use serde_json::{Value as Json, json};

use super::ANTHROPIC;
use crate::{
    Ask, Encoded, Failure, Profile, Target, ThinkingForm,
    chat::{Name, Piece, Request, Role, Turn},
};

/// A model that takes everything.
fn able() -> Profile {
    Profile {
        sampling_params: true,
        thinking: ThinkingForm::Adaptive,
        forced_tool_choice: true,
        mid_conversation_system: true,
        structured_output: true,
        default_max_tokens: 4000,
        ..ANTHROPIC.profile()
    }
}

/// One that does not yet have what the newer ones have.
fn older() -> Profile {
    Profile {
        thinking: ThinkingForm::Budget,
        mid_conversation_system: false,
        structured_output: false,
        ..able()
    }
}

fn decode(body: &[u8]) -> Result<Request<'_>, Failure> {
    ANTHROPIC.decode_request(Ask { body, model: None, stream: false, as_array: false })
}

fn encode(request: &Request<'_>, profile: &Profile) -> Result<Encoded, Failure> {
    ANTHROPIC.encode_request(request, Target { model: "claude", profile })
}

/// A question with these members beside those that it needs.
fn asking(members: Json) -> Json {
    let mut body = json!({
        "model": "m", "max_tokens": 4000, "messages": [{"role": "user", "content": "Hi"}],
    });
    for (name, value) in members.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn read(body: &[u8]) -> Json {
    serde_json::from_slice(body).unwrap()
}

/// The members named in `expected` as the target is told them, and what is lost. `null` stands for
/// a member that must not be there.
#[track_caller]
fn check_told(request: &Request<'_>, profile: &Profile, expected: Json, dropped: &[&str]) {
    let told = encode(request, profile).unwrap();
    let body = read(&told.body);
    for (name, want) in expected.as_object().unwrap() {
        assert_eq!(&body[name], want, "`{name}` of {body}");
    }
    assert_eq!(told.dropped, dropped, "{body}");
    assert_eq!(told.headers, [("anthropic-version", "2023-06-01")]);
}

fn text(text: &str) -> Piece<'_> {
    Piece::Text { text: text.into(), signature: None }
}

fn call<'a>(id: &'a str, input: &'a str) -> Piece<'a> {
    Piece::Call { id: id.into(), name: Name::plain("f"), input: input.into(), signature: None }
}

fn result<'a>(id: &'a str, content: Vec<Piece<'a>>) -> Piece<'a> {
    Piece::Result { id: id.into(), name: None, content, is_error: false }
}

fn turns<'a>(turns: impl IntoIterator<Item = (Role, Vec<Piece<'a>>)>) -> Request<'a> {
    let turns = turns.into_iter().map(|(role, pieces)| Turn { role, pieces }).collect();
    Request { turns, ..Request::default() }
}

fn hi<'a>() -> Request<'a> {
    turns([(Role::User, vec![text("Hi")])])
}

fn block(text: &str) -> Json {
    json!({"type": "text", "text": text})
}
