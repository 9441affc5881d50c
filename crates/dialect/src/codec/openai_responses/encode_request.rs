//! From the common model to a request of the Responses.
//!
//! The conversation is written by `encode_items`, what may be called by `encode_tools`.

use std::borrow::Cow;

use super::{encode_items::Items, encode_tools::Toolbox, fields::drop_once};
use crate::{
    Encoded, Failure, Names, Profile, Target, Value,
    chat::{Effort, Format, Request, Said, Thinking},
    write,
};

/// Longest name of an end user that is sent as it is.
const LONGEST_USER: usize = 128;

pub(super) fn encode(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    let mut dropped = request.dropped.clone();
    let mut names = Names::default();
    let profile = target.profile;
    if let Some(n) = request.candidates.as_ref().filter(|n| n.value > 1) {
        let message = format!("`{}` must be 1: the model gives one answer a call", n.path);
        return Err(Failure::unsayable(n.path.clone(), message));
    }
    drop_unsayable(request, profile, &mut dropped);
    let tools = Toolbox::encode(request, profile, &mut names, &mut dropped);
    let items = Items::encode(request, profile, &mut names)?;
    let reasoning = reasoning(request, profile, &mut dropped);

    let body = write::object_text(|o| {
        o.text("model", target.model);
        o.text_if("instructions", items.instructions.as_deref());
        o.raw("input", &items.input);
        tools.write(o);
        if let Some(most) = &request.max_output {
            o.number("max_output_tokens", most.value);
        }
        if profile.sampling_params {
            let sampling = &request.sampling;
            o.raw_if("temperature", sampling.temperature.as_ref().map(|said| said.value));
            o.raw_if("top_p", sampling.top_p.as_ref().map(|said| said.value));
        }
        let mut include = Vec::new();
        if profile.reasoning {
            include.push("reasoning.encrypted_content");
        }
        if let Some(top) = &request.logprobs {
            include.push("message.output_text.logprobs");
            if top.value > 0 {
                o.number("top_logprobs", top.value);
            }
        }
        write_reasoning(o, reasoning);
        write_format(o, request);
        if !include.is_empty() {
            o.texts("include", include);
        }
        if let Some(user) = &request.user {
            write_user(o, user);
        }
        o.bool("store", false);
        if request.stream {
            o.bool("stream", true);
        }
    });
    let path = "/v1/responses".to_owned();
    Ok(Encoded { path, body: body.into(), dropped, names, ..Encoded::default() })
}

/// The question for the number of input tokens: only what counts.
pub(super) fn encode_count(request: &Request<'_>, target: Target<'_>) -> Result<Encoded, Failure> {
    let mut dropped = request.dropped.clone();
    let mut names = Names::default();
    let tools = Toolbox::encode(request, target.profile, &mut names, &mut dropped);
    let items = Items::encode(request, target.profile, &mut names)?;
    let reasoning = reasoning(request, target.profile, &mut dropped);
    let body = write::object_text(|o| {
        o.text("model", target.model);
        o.text_if("instructions", items.instructions.as_deref());
        o.raw("input", &items.input);
        tools.write(o);
        write_reasoning(o, reasoning);
        write_format(o, request);
    });
    let path = "/v1/responses/input_tokens".to_owned();
    Ok(Encoded { path, body: body.into(), dropped, names, ..Encoded::default() })
}

/// Notes what has no place in this dialect, or is not accepted by the model.
fn drop_unsayable(request: &Request<'_>, profile: &Profile, dropped: &mut Vec<String>) {
    let sampling = &request.sampling;
    if let Some(stop) = request.stop.as_ref().filter(|stop| !stop.value.is_empty()) {
        drop_once(dropped, &*stop.path);
    }
    if !profile.sampling_params {
        for said in [&sampling.temperature, &sampling.top_p].into_iter().flatten() {
            drop_once(dropped, &*said.path);
        }
    }
    for said in [&sampling.top_k, &sampling.seed].into_iter().flatten() {
        drop_once(dropped, &*said.path);
    }
    // No penalty and no bias ask for nothing.
    let penalties = [&sampling.presence_penalty, &sampling.frequency_penalty].into_iter().flatten();
    let penalties = penalties.filter(|said| said.value.parse() != Ok(0.0));
    let bias = sampling.logit_bias.iter();
    let bias = bias.filter(|said| Value::of(said.value).is_ok_and(|all| !all.members().is_empty()));
    for said in penalties.chain(bias) {
        drop_once(dropped, &*said.path);
    }
}

/// The effort, and whether thoughts are to be shown.
fn reasoning(
    request: &Request<'_>,
    profile: &Profile,
    dropped: &mut Vec<String>,
) -> Option<(Option<Effort>, bool)> {
    let said = request.thinking.as_ref().filter(|said| said.value != Thinking::default())?;
    let effort = said.value.effort.or(said.value.budget.map(Effort::of_budget));
    if !profile.reasoning {
        // A model that does not think already does what `none` asks for.
        if effort != Some(Effort::None) {
            drop_once(dropped, &*said.path);
        }
        return None;
    }
    if effort == Some(Effort::None) && profile.thinking_always_on {
        drop_once(dropped, &*said.path);
        // The lowest that every model knows which cannot stop thinking.
        return Some((Some(Effort::Low), false));
    }
    Some((effort, said.value.shown && effort != Some(Effort::None)))
}

fn write_reasoning(o: &mut write::Object<'_>, reasoning: Option<(Option<Effort>, bool)>) {
    let Some((effort, shown)) = reasoning else { return };
    o.object("reasoning", |o| {
        o.text_if("effort", effort.map(Effort::as_str));
        if shown {
            o.text("summary", "auto");
        }
    });
}

fn write_format(o: &mut write::Object<'_>, request: &Request<'_>) {
    let Some(format) = &request.format else { return };
    o.object("text", |o| {
        o.object("format", |o| match &format.value {
            Format::JsonObject => o.text("type", "json_object"),
            Format::JsonSchema { name, description, schema, strict } => {
                o.text("type", "json_schema");
                o.text("name", name.as_deref().unwrap_or("response"));
                o.text_if("description", description.as_deref());
                o.raw("schema", schema.raw());
                if let Some(strict) = strict {
                    o.bool("strict", *strict);
                }
            }
        });
    });
}

/// USER-2: a name that is too long is told by its digest.
fn write_user(o: &mut write::Object<'_>, user: &Said<'_, Cow<'_, str>>) {
    if user.path == "user" {
        return o.text("user", &user.value);
    }
    if user.value.chars().count() <= LONGEST_USER {
        return o.text("safety_identifier", &user.value);
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, user.value.as_bytes());
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    o.text("safety_identifier", &hex);
}
