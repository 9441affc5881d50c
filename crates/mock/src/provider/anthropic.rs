//! Anthropic Messages.

use serde_json::{Value, json};

use super::{Call, chat::parts, model, named, strict, text_of};
use crate::{
    ask::{self, Ask, Choice, Say, Step, Tool},
    http::Reply,
};

/// What proves that a thought is its own.
pub(super) const SIGNATURE: &str = "EqMDbW9jaw==";

pub(super) fn reply(call: &Call<'_>) -> Result<Reply, Reply> {
    let body = call.json()?;
    let ask = read(call, &body)?;
    let say = ask::answer(&ask, call.behaviour);
    let blocks = blocks(call, &say);
    let mut message = json!({
        "id": call.id("msg_"), "type": "message", "role": "assistant", "model": ask.model,
        "content": blocks, "stop_reason": stop_reason(&say), "stop_sequence": null,
        "usage": usage(&say, say.tokens.output),
    });
    if call.behaviour.no_usage {
        message["usage"] = Value::Null;
    }
    let reply =
        if ask.stream { stream(call, message, &blocks, &say) } else { Reply::json(200, &message) };
    Ok(reply.with("request-id", call.id("req_")))
}

pub(super) fn count(call: &Call<'_>) -> Result<Reply, Reply> {
    let body = call.json()?;
    call.checked(|| strict::anthropic_count(&body, call.behaviour))?;
    Ok(Reply::json(200, &json!({"input_tokens": call.body.len() / 4 + 1})))
}

fn read(call: &Call<'_>, body: &Value) -> Result<Ask, Reply> {
    let model = model(call, body["model"].as_str())?;
    if body["max_tokens"].as_u64().is_none() {
        return Err(call.refuse(400, "invalid_request_error", "max_tokens: Field required"));
    }
    call.checked(|| strict::anthropic(body, call.behaviour))?;
    let messages = body["messages"].as_array().into_iter().flatten();
    let steps = messages.flat_map(|message| match &message["content"] {
        _ if message["role"] != "user" => vec![Step::Model],
        Value::Array(blocks) => {
            let (results, rest): (Vec<_>, Vec<_>) =
                blocks.iter().cloned().partition(|block| block["type"] == "tool_result");
            let results = results.iter().map(|block| Step::Result(text_of(&block["content"])));
            results.chain([Step::User(text_of(&Value::Array(rest)))]).collect()
        }
        text => vec![Step::User(text_of(text))],
    });
    let tools = body["tools"].as_array().into_iter().flatten();
    let format = [&body["output_config"]["format"], &body["output_format"]];
    let thinking = &body["thinking"];
    let ask = Ask {
        model,
        tools: tools
            .filter(|tool| tool["input_schema"].is_object())
            .map(|tool| Tool {
                name: tool["name"].as_str().unwrap_or_default().to_owned(),
                schema: tool["input_schema"].clone(),
                free_form: false,
            })
            .collect(),
        choice: match body["tool_choice"]["type"].as_str() {
            Some("none") => Choice::None,
            Some("tool") => {
                Choice::Named(body["tool_choice"]["name"].as_str().unwrap_or_default().to_owned())
            }
            _ => Choice::Auto,
        },
        schema: format
            .into_iter()
            .find(|format| format["type"] == "json_schema")
            .map(|format| format["schema"].clone()),
        thinking: matches!(thinking["type"].as_str(), Some("enabled" | "adaptive")),
        // Models that decide themselves keep the words to themselves unless they are asked.
        thoughts: thinking["type"] == "enabled" || thinking["display"] == "summarized",
        audio: false,
        stream: body["stream"] == true,
        max_output: body["max_tokens"].as_u64(),
        bytes: call.body.len(),
        ..Ask::default()
    };
    Ok(ask.after(steps))
}

fn stop_reason(say: &Say) -> &'static str {
    match say {
        _ if !say.calls.is_empty() => "tool_use",
        _ if say.cut => "max_tokens",
        _ => "end_turn",
    }
}

/// What was read from the cache and written to it stands beside the input.
fn usage(say: &Say, output: u64) -> Value {
    let tokens = say.tokens;
    json!({
        "input_tokens": tokens.input - tokens.cached - tokens.cache_written,
        "cache_creation_input_tokens": tokens.cache_written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_written, "ephemeral_1h_input_tokens": 0,
        },
        "output_tokens": output, "service_tier": "standard",
        "output_tokens_details": {"thinking_tokens": tokens.reasoning.min(output)},
    })
}

fn blocks(call: &Call<'_>, say: &Say) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(thought) = say.thought {
        blocks.push(json!({"type": "thinking", "thinking": thought, "signature": SIGNATURE}));
    }
    if say.calls.is_empty() {
        blocks.push(json!({"type": "text", "text": say.text()}));
    }
    for (index, tool) in say.calls.iter().enumerate() {
        let id = call.id(&format!("toolu_{index}_"));
        let block =
            json!({"type": "tool_use", "id": id, "name": tool.name, "input": tool.arguments});
        blocks.push(block);
    }
    blocks
}

fn stream(call: &Call<'_>, mut message: Value, blocks: &[Value], say: &Say) -> Reply {
    let stop_reason = message["stop_reason"].take();
    message["content"] = json!([]);
    message["usage"] = usage(say, 1);
    let mut final_usage = json!({"output_tokens": say.tokens.output});
    final_usage["output_tokens_details"] = json!({"thinking_tokens": say.tokens.reasoning});
    let mut events = vec![json!({"type": "message_start", "message": message})];
    for (index, block) in blocks.iter().enumerate() {
        let (opened, deltas) = deltas(block, say);
        let start = json!({"type": "content_block_start", "index": index, "content_block": opened});
        events.push(start);
        if index == 0 {
            events.push(json!({"type": "ping"}));
        }
        for delta in deltas {
            events.push(json!({"type": "content_block_delta", "index": index, "delta": delta}));
        }
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": stop_reason, "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": final_usage}));
    if !call.behaviour.no_done {
        events.push(json!({"type": "message_stop"}));
    }
    Reply::pieces("text/event-stream", events.iter().map(named).collect())
}

/// A block as it opens, and what is added to it.
fn deltas(block: &Value, say: &Say) -> (Value, Vec<Value>) {
    let mut opened = block.clone();
    let deltas = match block["type"].as_str().unwrap_or_default() {
        "thinking" => {
            opened["thinking"] = "".into();
            opened["signature"] = "".into();
            let thought = parts(block["thinking"].as_str().unwrap_or_default());
            let thought = thought.iter().map(|t| json!({"type": "thinking_delta", "thinking": t}));
            let seal = json!({"type": "signature_delta", "signature": block["signature"]});
            thought.chain([seal]).collect()
        }
        "text" => {
            opened["text"] = "".into();
            say.words.iter().map(|word| json!({"type": "text_delta", "text": word})).collect()
        }
        _ => {
            opened["input"] = json!({});
            let json = block["input"].to_string();
            let first = std::iter::once(String::new()).chain(parts(&json));
            first.map(|part| json!({"type": "input_json_delta", "partial_json": part})).collect()
        }
    };
    (opened, deltas)
}
