//! `generationConfig`: limits, sampling, form and thinking.

use crate::{
    Profile, ThinkingForm, Value,
    chat::{Effort, Format, Request, Said, Schema, Thinking},
    write::{self, Object},
};

/// Most stop sequences that Gemini accepts.
const MOST_STOPS: usize = 5;

/// Encodes the configuration of a request; `None` if it is empty.
pub(super) fn config(
    request: &Request<'_>,
    profile: &Profile,
    dropped: &mut Vec<String>,
) -> Option<String> {
    let text = write::object_text(|o| {
        if let Some(said) = &request.max_output {
            o.number("maxOutputTokens", said.value);
        }
        sampling(o, request, profile, dropped);
        stops(o, request, dropped);
        if let Some(said) = request.candidates.as_ref().filter(|said| said.value > 1) {
            o.number("candidateCount", said.value);
        }
        if let Some(said) = &request.logprobs {
            o.bool("responseLogprobs", true);
            if said.value > 0 {
                o.number("logprobs", said.value);
            }
        }
        if let Some(said) = &request.format {
            format(o, &said.value, profile);
        }
        if let Some(said) = &request.thinking {
            thinking(o, said, profile, dropped);
        }
    });
    (text != "{}").then_some(text)
}

fn sampling(
    o: &mut Object<'_>,
    request: &Request<'_>,
    profile: &Profile,
    dropped: &mut Vec<String>,
) {
    let all = &request.sampling;
    let fields = [
        ("temperature", &all.temperature, profile.sampling_params),
        ("topP", &all.top_p, profile.sampling_params),
        ("topK", &all.top_k, profile.sampling_params),
        ("seed", &all.seed, true),
        ("presencePenalty", &all.presence_penalty, profile.penalties),
        ("frequencyPenalty", &all.frequency_penalty, profile.penalties),
        ("", &all.logit_bias, false),
    ];
    for (name, said, accepted) in fields {
        match said {
            Some(said) if accepted => o.raw(name, said.value),
            // A penalty of zero has no effect.
            Some(said) if name.ends_with("Penalty") && said.value.parse() == Ok(0.0_f64) => {}
            Some(said) => dropped.push(said.path.to_string()),
            None => {}
        }
    }
}

fn stops(o: &mut Object<'_>, request: &Request<'_>, dropped: &mut Vec<String>) {
    let Some(said) = request.stop.as_ref().filter(|said| !said.value.is_empty()) else { return };
    if said.value.len() > MOST_STOPS {
        dropped.push(said.path.to_string());
    }
    o.texts("stopSequences", said.value.iter().take(MOST_STOPS).map(|stop| &**stop));
}

fn format(o: &mut Object<'_>, format: &Format<'_>, profile: &Profile) {
    o.text("responseMimeType", "application/json");
    let Format::JsonSchema { schema, .. } = format else { return };
    let Some(value) = Schema::value(schema).filter(Value::is_object) else { return };
    match profile.json_schema {
        true => o.raw("responseJsonSchema", &bare_schema(&value)),
        false => o.raw("responseSchema", &super::schema::answer(&value)),
    }
}

/// Returns a schema without the name of its standard.
pub(super) fn bare_schema(schema: &Value<'_>) -> String {
    if schema.find("$schema").is_none() {
        return schema.raw().to_owned();
    }
    write::object_text(|o| {
        for (name, value) in schema.members().iter().filter(|(name, _)| name != "$schema") {
            o.raw(name, value.raw());
        }
    })
}

fn thinking(
    o: &mut Object<'_>,
    said: &Said<'_, Thinking>,
    profile: &Profile,
    dropped: &mut Vec<String>,
) {
    let Thinking { effort, budget, shown } = said.value;
    let effort = effort.or(budget.map(Effort::of_budget));
    let off = effort == Some(Effort::None);
    if profile.thinking == ThinkingForm::None {
        if !off && (effort.is_some() || shown) {
            dropped.push(said.path.to_string());
        }
        return;
    }
    if effort.is_none() && !shown {
        return;
    }
    let by_level = matches!(profile.thinking, ThinkingForm::Level | ThinkingForm::Adaptive);
    // The lowest level is above zero: such models always reason.
    let always = off && (by_level || profile.thinking_always_on);
    if always {
        dropped.push(said.path.to_string());
    }
    o.object("thinkingConfig", |o| {
        match effort {
            None => {}
            Some(effort) if by_level => o.text("thinkingLevel", level(effort)),
            Some(_) if always => o.number("thinkingBudget", Effort::Minimal.budget()),
            Some(effort) => o.number("thinkingBudget", budget.unwrap_or(effort.budget())),
        }
        // Asking to see reasoning is an error if there is none.
        if !off {
            o.bool("includeThoughts", true);
        }
    });
}

const fn level(effort: Effort) -> &'static str {
    match effort {
        Effort::None | Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High | Effort::Xhigh | Effort::Max => "HIGH",
    }
}
