//! The rules of the dialect by example: requests, answers and streams.

mod answers;
mod requests;
mod streams;

use crate::{
    Profile, Target, ThinkingForm,
    chat::{Name, Piece, Request, Role, Turn},
    codec::GEMINI,
};

fn text(text: &str) -> Piece<'_> {
    Piece::Text { text: text.into(), signature: None }
}

fn call<'a>(id: &'a str, name: &'a str, input: &'a str) -> Piece<'a> {
    Piece::Call { id: id.into(), name: Name::plain(name), input: input.into(), signature: None }
}

fn result<'a>(id: &'a str, content: Vec<Piece<'a>>) -> Piece<'a> {
    Piece::Result { id: id.into(), name: None, content, is_error: false }
}

fn turn(role: Role, pieces: Vec<Piece<'_>>) -> Turn<'_> {
    Turn { role, pieces }
}

/// A model of today and one of the day before.
fn current() -> Profile {
    GEMINI.profile()
}

fn older() -> Profile {
    Profile {
        penalties: true,
        thinking: ThinkingForm::Budget,
        json_schema: false,
        function_call_ids: false,
        thought_signatures: false,
        multimodal_function_response: false,
        ..GEMINI.profile()
    }
}

/// The body that a request becomes, and what was left out.
fn told(request: &Request<'_>, profile: &Profile) -> (String, String) {
    let encoded = GEMINI.encode_request(request, Target { model: "g", profile }).unwrap();
    (String::from_utf8(encoded.body).unwrap(), encoded.dropped.join(","))
}
