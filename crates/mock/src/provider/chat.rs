//! OpenAI Chat Completions.

use serde_json::{Value, json};

use super::{Call, data, model, strict, text_of};
use crate::{
    ask::{self, Ask, Choice, Say, Step, Tool},
    http::Reply,
};

const CREATED: u64 = 1_790_000_000;

pub(super) fn reply(call: &Call<'_>) -> Result<Reply, Reply> {
    let body = call.json()?;
    let ask = read(call, &body)?;
    let choices = body["n"].as_u64().unwrap_or(1).clamp(1, 8);
    let mut say = ask::answer(&ask, call.behaviour);
    say.tokens.output *= choices;
    if ask.stream {
        let asked = body["stream_options"]["include_usage"] == true;
        return Ok(stream(call, &ask, &say, choices, asked && !call.behaviour.no_usage));
    }
    let choice = |index| {
        json!({
            "index": index, "message": message(call, &say, index), "logprobs": null,
            "finish_reason": finish(&say),
        })
    };
    let mut answer = json!({
        "id": call.id("chatcmpl-"), "object": "chat.completion", "created": CREATED,
        "model": ask.model, "choices": (0..choices).map(choice).collect::<Vec<_>>(),
        "usage": usage(&say), "service_tier": "default", "system_fingerprint": "fp_mock",
    });
    if call.behaviour.no_usage {
        answer["usage"] = Value::Null;
    }
    Ok(Reply::json(200, &answer))
}

fn read(call: &Call<'_>, body: &Value) -> Result<Ask, Reply> {
    let model = model(call, body["model"].as_str())?;
    let messages = body["messages"].as_array().ok_or_else(|| {
        call.refuse(400, "missing_required_parameter", "missing required parameter: 'messages'")
    })?;
    call.checked(|| strict::chat(body, call.behaviour))?;
    let steps = messages.iter().map(|message| match message["role"].as_str() {
        Some("user") => Step::User(text_of(&message["content"])),
        Some("tool") => Step::Result(text_of(&message["content"])),
        _ => Step::Model,
    });
    let tools = body["tools"].as_array().into_iter().flatten().map(|tool| {
        let free_form = tool["type"] == "custom";
        let about = &tool[if free_form { "custom" } else { "function" }];
        Tool {
            name: about["name"].as_str().unwrap_or_default().to_owned(),
            schema: about["parameters"].clone(),
            free_form,
        }
    });
    let format = &body["response_format"];
    let effort = body["reasoning_effort"].as_str();
    let ask = Ask {
        model,
        tools: tools.collect(),
        choice: match &body["tool_choice"] {
            Value::String(choice) if choice == "none" => Choice::None,
            Value::Object(choice) => {
                Choice::Named(choice["function"]["name"].as_str().unwrap_or_default().to_owned())
            }
            _ => Choice::Auto,
        },
        schema: match format["type"].as_str() {
            Some("json_schema") => Some(format["json_schema"]["schema"].clone()),
            Some("json_object") => Some(json!({"properties": {"answer": {"type": "string"}}})),
            _ => None,
        },
        thinking: call.behaviour.reasoning || effort.is_some_and(|effort| effort != "none"),
        thoughts: call.behaviour.reasoning,
        audio: body["messages"].to_string().contains("input_audio"),
        stream: body["stream"] == true,
        max_output: body["max_completion_tokens"].as_u64().or(body["max_tokens"].as_u64()),
        bytes: call.body.len(),
        ..Ask::default()
    };
    Ok(ask.after(steps))
}

fn calls(call: &Call<'_>, say: &Say, choice: u64) -> Vec<Value> {
    let one = |(index, tool): (usize, &ask::Call)| {
        let id = call.id(&format!("call_{choice}{index}_"));
        if tool.free_form {
            let custom = json!({"name": tool.name, "input": tool.arguments});
            return json!({"id": id, "type": "custom", "custom": custom});
        }
        let function = json!({"name": tool.name, "arguments": tool.arguments.to_string()});
        json!({"id": id, "type": "function", "function": function})
    };
    say.calls.iter().enumerate().map(one).collect()
}

fn message(call: &Call<'_>, say: &Say, choice: u64) -> Value {
    let mut message = json!({"role": "assistant", "content": say.text(), "refusal": null});
    if let Some(thought) = say.thought.filter(|thought| !thought.is_empty()) {
        message["reasoning_content"] = thought.into();
    }
    if say.calls.is_empty() {
        message["annotations"] = json!([]);
    } else {
        message["content"] = Value::Null;
        message["tool_calls"] = calls(call, say, choice).into();
    }
    message
}

fn finish(say: &Say) -> &'static str {
    match say {
        _ if !say.calls.is_empty() => "tool_calls",
        _ if say.cut => "length",
        _ => "stop",
    }
}

/// OpenAI's way to tell tokens in Chat Completions.
fn usage(say: &Say) -> Value {
    let tokens = say.tokens;
    json!({
        "prompt_tokens": tokens.input, "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {
            "cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_written,
            "audio_tokens": tokens.input_audio,
        },
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning, "audio_tokens": tokens.output_audio,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

fn stream(call: &Call<'_>, ask: &Ask, say: &Say, choices: u64, with_usage: bool) -> Reply {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": call.id("chatcmpl-"), "object": "chat.completion.chunk", "created": CREATED,
            "model": ask.model, "service_tier": "default", "system_fingerprint": "fp_mock",
            "choices": choices,
        });
        if with_usage {
            chunk["usage"] = usage;
        }
        data(&chunk)
    };
    let mut events = Vec::new();
    for index in 0..choices {
        let mut push = |delta: Value, finish: Value| {
            events.push(chunk(
                json!([{"index": index, "delta": delta, "logprobs": null, "finish_reason": finish}]),
                Value::Null,
            ));
        };
        let content = if say.calls.is_empty() { json!("") } else { Value::Null };
        push(json!({"role": "assistant", "content": content, "refusal": null}), Value::Null);
        for part in parts(say.thought.unwrap_or_default()) {
            push(json!({"reasoning_content": part}), Value::Null);
        }
        for word in &say.words {
            push(json!({"content": word}), Value::Null);
        }
        for (place, mut tool) in calls(call, say, index).into_iter().enumerate() {
            tool["index"] = place.into();
            let custom = tool["type"] == "custom";
            let (kind, field) =
                if custom { ("custom", "input") } else { ("function", "arguments") };
            let input = tool[kind][field].take();
            tool[kind][field] = "".into();
            push(json!({"tool_calls": [tool]}), Value::Null);
            for part in parts(input.as_str().unwrap_or_default()) {
                let delta = json!({"index": place, kind: {field: part}});
                push(json!({"tool_calls": [delta]}), Value::Null);
            }
        }
        push(json!({}), finish(say).into());
    }
    if with_usage {
        events.push(chunk(json!([]), usage(say)));
    }
    if !call.behaviour.no_done {
        events.push("data: [DONE]\n\n".into());
    }
    Reply::pieces("text/event-stream", events)
}

/// A text in parts of a few characters, as arguments stream.
pub(super) fn parts(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    characters.chunks(7).map(|part| part.iter().collect()).collect()
}
