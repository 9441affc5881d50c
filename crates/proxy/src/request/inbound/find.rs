//! Where in a body the model stands that decides where the call goes, and how another name is put
//! there.

use std::ops::Range;

use bytes::Bytes;
use dialect::{FormScan, Malformed, OWN_MARK, Peek};
use domain::Dialect;

use super::{
    call::{Call, ModelAt},
    key::holds_a_key,
};
use crate::{
    door::{Door, Operation, codec_of},
    refusal::Refusal,
};

/// Paths at which nothing can be done without a model.
pub(super) const NEED_A_MODEL: [&str; 9] = [
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
];

/// Where a session of the Realtime API names its model: the one that speaks, or the one that only
/// writes down what it hears.
const SESSION: [&[&str]; 2] = [&["model"], &["audio", "input", "transcription", "model"]];

/// What is looked for in a body on one path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sought {
    /// Where JSON names the model; in the outermost object where nothing is said.
    places: Option<&'static [&'static [&'static str]]>,
    /// Whether nothing can be done without a model.
    needed: bool,
}

impl Sought {
    /// What is looked for on this path.
    pub(super) fn on(path: &str) -> Self {
        let places: Option<&'static [&'static [&'static str]]> = match path {
            "/v1/realtime/client_secrets" => Some(&[
                &["session", "model"],
                &["session", "audio", "input", "transcription", "model"],
            ]),
            "/v1/realtime/transcription_sessions" => {
                Some(&[&["input_audio_transcription", "model"]])
            }
            _ => None,
        };
        Self { places, needed: NEED_A_MODEL.contains(&path) }
    }

    /// That the call names a model where it must.
    fn is_met(self, call: &mut Call) -> Result<(), Refusal> {
        if self.needed && call.model.as_deref().is_none_or(holds_a_key) {
            call.model = None;
            return Err(Refusal::ModelMissing);
        }
        Ok(())
    }
}

/// The field of a form on this path that decides.
pub(super) fn form_fields(path: &str) -> &'static [&'static str] {
    if path == "/v1/realtime/calls" { &["session"] } else { &["model"] }
}

/// What stands first in paths at which files are kept: their forms, which may be much larger than
/// what is read ahead, name no model.
const FILES: [&str; 5] = ["containers", "files", "skills", "uploads", "vector_stores"];

/// Whether forms on this path bring files for later, and no model.
pub(super) fn only_keeps_files(path: &str) -> bool {
    let rest = path.strip_prefix("/v1/").unwrap_or_default();
    rest.split('/').next().is_some_and(|first| FILES.contains(&first))
}

/// Finds in a JSON body what decides where it goes.
pub(super) fn look_into(call: &mut Call, sought: Sought, bytes: &Bytes) -> Result<(), Refusal> {
    let Door::Model(endpoint) = &call.door else { return Ok(()) };
    let (dialect, job) = (endpoint.dialect, endpoint.job());
    let peeked: Peek<'_> = dialect::peek(bytes)?;
    if endpoint.operation == Operation::Chat {
        call.ask_usage = peeked.ask_for_usage();
    }
    // Gemini names the model in the path; a model in its body is the body's own business.
    if dialect != Dialect::Gemini {
        let found = match sought.places {
            None => peeked.model.map(|span| (span.range, span.text.into_owned())),
            Some(places) => first_of(bytes, places)?,
        };
        if let Some((range, text)) = found {
            asked_for(call, ModelAt::Json(range), text)?;
        } else if call.deployed() {
            let at = bytes.iter().position(|b| *b == b'{').map_or(0, |at| at + 1);
            let empty = bytes[at..].trim_ascii_start().starts_with(b"}");
            call.model_at = Some(ModelAt::NotInJson { at, empty });
        }
    }
    sought.is_met(call)?;
    if job.is_some() && memchr::memmem::find(bytes, OWN_MARK.as_bytes()).is_some() {
        call.wrapped_signatures = codec_of(dialect).wrapped_signatures_of(bytes)?;
    }
    Ok(())
}

/// Finds in the fields of a form what decides where it goes.
pub(super) fn look_into_form(
    call: &mut Call,
    sought: Sought,
    scan: &FormScan,
) -> Result<(), Refusal> {
    match scan.fields() {
        [] if call.deployed() => {
            call.model_at = Some(ModelAt::NotInForm(Box::new(scan.clone())));
        }
        [field, ..] if field.name == "session" => {
            // JSON inside a form, as the Realtime API takes it.
            let text = field.text.as_bytes();
            if let Some((range, model)) = first_of(text, &SESSION)? {
                let start = field.range.start;
                let range = start + range.start..start + range.end;
                asked_for(call, ModelAt::Json(range), model)?;
            }
        }
        [field, ..] => asked_for(call, ModelAt::Form(field.range.clone()), field.text.clone())?,
        [] => {}
    }
    sought.is_met(call)
}

/// Notes the model that the body asks for. Where the path or the query asked for one already, theirs
/// counts if they are a deployment, and there must be no other one otherwise.
fn asked_for(call: &mut Call, place: ModelAt, model: String) -> Result<(), Refusal> {
    match &call.model {
        Some(_) if call.deployed() => call.model_differs = call.model.as_ref() != Some(&model),
        Some(other) if *other != model => return Err(Malformed::Twice("model").into()),
        _ => call.model = Some(model),
    }
    call.model_at = Some(place);
    Ok(())
}

type Found = Option<(Range<usize>, String)>;

/// The text at the first of these places where one stands.
fn first_of(body: &[u8], places: &[&[&'static str]]) -> Result<Found, Malformed> {
    for place in places {
        if let Some(span) = dialect::text_at(body, place)? {
            return Ok(Some((span.range, span.text.into_owned())));
        }
    }
    Ok(None)
}
