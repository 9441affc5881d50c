//! OpenAI Responses.

use serde_json::{Value, json};

use super::{Call, chat::parts, model, named, strict, text_of};
use crate::{
    ask::{self, Ask, Choice, Say, Step, Tool},
    http::Reply,
};

/// The state of its reasoning, which nobody else can read.
pub(super) const SEAL: &str = "gAAAAABtb2Nr";

pub(super) fn reply(call: &Call<'_>) -> Result<Reply, Reply> {
    let body = call.json()?;
    let ask = read(call, &body)?;
    let say = ask::answer(&ask, call.behaviour);
    let mut items = items(call, &say);
    let wanted = body["include"].as_array().into_iter().flatten();
    if !wanted.into_iter().any(|name| name == "reasoning.encrypted_content") {
        for item in items.iter_mut().filter(|item| item["type"] == "reasoning") {
            item["encrypted_content"] = Value::Null;
        }
    }
    let whole = response(call, &ask, &body, &say, &items);
    if ask.stream {
        return Ok(stream(&whole, &items, &say));
    }
    Ok(Reply::json(200, &whole))
}

pub(super) fn count(call: &Call<'_>) -> Result<Reply, Reply> {
    let body = call.json()?;
    call.checked(|| strict::responses(&body, call.behaviour))?;
    let tokens = call.body.len() / 4 + 1;
    let answer = json!({"object": "response.input_tokens", "input_tokens": tokens});
    Ok(Reply::json(200, &answer))
}

fn read(call: &Call<'_>, body: &Value) -> Result<Ask, Reply> {
    let model = model(call, body["model"].as_str())?;
    let items = match &body["input"] {
        Value::String(text) => vec![json!({"role": "user", "content": text})],
        Value::Array(items) => items.clone(),
        _ => return Err(call.refuse(400, "missing_required_parameter", "missing 'input'")),
    };
    call.checked(|| strict::responses(body, call.behaviour))?;
    let steps = items.iter().map(|item| match item["type"].as_str().unwrap_or("message") {
        "message" if item["role"] == "user" => Step::User(text_of(&item["content"])),
        kind if kind.ends_with("_call_output") => Step::Result(text_of(&item["output"])),
        _ => Step::Model,
    });
    let tools = body["tools"].as_array().into_iter().flatten();
    let tools = tools.filter(|tool| matches!(tool["type"].as_str(), Some("function" | "custom")));
    let format = &body["text"]["format"];
    let reasoning = &body["reasoning"];
    let ask = Ask {
        model,
        tools: tools
            .map(|tool| Tool {
                name: tool["name"].as_str().unwrap_or_default().to_owned(),
                schema: tool["parameters"].clone(),
                free_form: tool["type"] == "custom",
            })
            .collect(),
        choice: match &body["tool_choice"] {
            Value::String(choice) if choice == "none" => Choice::None,
            Value::Object(choice) if choice.contains_key("name") => {
                Choice::Named(choice["name"].as_str().unwrap_or_default().to_owned())
            }
            _ => Choice::Auto,
        },
        schema: match format["type"].as_str() {
            Some("json_schema") => Some(format["schema"].clone()),
            Some("json_object") => Some(json!({"properties": {"answer": {"type": "string"}}})),
            _ => None,
        },
        thinking: reasoning.is_object() && reasoning["effort"] != "none",
        thoughts: reasoning["summary"].is_string(),
        audio: false,
        stream: body["stream"] == true,
        max_output: body["max_output_tokens"].as_u64(),
        bytes: call.body.len(),
        ..Ask::default()
    };
    Ok(ask.after(steps))
}

/// The items of the answer, whole.
fn items(call: &Call<'_>, say: &Say) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(thought) = say.thought {
        let part = json!({"type": "summary_text", "text": thought});
        let summary = if thought.is_empty() { vec![] } else { vec![part] };
        items.push(json!({
            "id": call.id("rs_"), "type": "reasoning", "summary": summary,
            "encrypted_content": SEAL, "status": "completed",
        }));
    }
    if say.calls.is_empty() {
        items.push(json!({
            "id": call.id("msg_"), "type": "message", "status": "completed", "role": "assistant",
            "content": [{
                "type": "output_text", "text": say.text(), "annotations": [], "logprobs": [],
            }],
        }));
    }
    for (index, tool) in say.calls.iter().enumerate() {
        let call_id = call.id(&format!("call_{index}_"));
        items.push(if tool.free_form {
            json!({
                "id": call.id(&format!("ctc_{index}_")), "type": "custom_tool_call",
                "status": "completed", "call_id": call_id, "name": tool.name,
                "input": tool.arguments,
            })
        } else {
            json!({
                "id": call.id(&format!("fc_{index}_")), "type": "function_call",
                "status": "completed", "call_id": call_id, "name": tool.name,
                "arguments": tool.arguments.to_string(),
            })
        });
    }
    items
}

fn response(call: &Call<'_>, ask: &Ask, body: &Value, say: &Say, items: &[Value]) -> Value {
    let tokens = say.tokens;
    let given = |name: &str, or: Value| body.get(name).cloned().unwrap_or(or);
    let cut = if say.cut { json!({"reason": "max_output_tokens"}) } else { Value::Null };
    let mut answer = json!({
        "id": call.id("resp_"), "object": "response", "created_at": 1_790_000_000,
        "status": if say.cut { "incomplete" } else { "completed" }, "error": null,
        "incomplete_details": cut, "instructions": given("instructions", Value::Null),
        "max_output_tokens": given("max_output_tokens", Value::Null), "model": ask.model,
        "output": items, "parallel_tool_calls": given("parallel_tool_calls", json!(true)),
        "previous_response_id": null, "reasoning": given("reasoning", json!({"effort": null})),
        "store": given("store", json!(true)), "temperature": 1.0,
        "text": given("text", json!({"format": {"type": "text"}})),
        "tool_choice": given("tool_choice", json!("auto")), "tools": given("tools", json!([])),
        "top_p": 1.0, "truncation": "disabled", "metadata": given("metadata", json!({})),
        "usage": {
            "input_tokens": tokens.input,
            "input_tokens_details": {
                "cached_tokens": tokens.cached, "cache_write_tokens": tokens.cache_written,
            },
            "output_tokens": tokens.output,
            "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
            "total_tokens": tokens.input + tokens.output,
        },
    });
    if call.behaviour.no_usage {
        answer["usage"] = Value::Null;
    }
    answer
}

/// Numbers its events without gaps.
struct Events(Vec<Value>);

impl Events {
    fn push(&mut self, kind: &str, mut event: Value) {
        event["type"] = kind.into();
        event["sequence_number"] = self.0.len().into();
        self.0.push(event);
    }
}

fn stream(whole: &Value, items: &[Value], say: &Say) -> Reply {
    let mut begun = whole.clone();
    begun["status"] = "in_progress".into();
    begun["output"] = json!([]);
    begun["usage"] = Value::Null;
    begun["incomplete_details"] = Value::Null;
    let mut events = Events(Vec::new());
    events.push("response.created", json!({"response": begun}));
    events.push("response.in_progress", json!({"response": begun}));
    for (index, item) in items.iter().enumerate() {
        let mut opened = item.clone();
        opened["status"] = "in_progress".into();
        for field in ["content", "summary"] {
            if item[field].is_array() {
                opened[field] = json!([]);
            }
        }
        for field in ["arguments", "input"] {
            if item[field].is_string() {
                opened[field] = "".into();
            }
        }
        events.push("response.output_item.added", json!({"output_index": index, "item": opened}));
        inner(&mut events, index, item, say);
        events.push("response.output_item.done", json!({"output_index": index, "item": item}));
    }
    let last = if say.cut { "response.incomplete" } else { "response.completed" };
    events.push(last, json!({"response": whole}));
    Reply::pieces("text/event-stream", events.0.iter().map(named).collect())
}

fn inner(events: &mut Events, index: usize, item: &Value, say: &Say) {
    let at = |mut event: Value| {
        event["item_id"] = item["id"].clone();
        event["output_index"] = index.into();
        event
    };
    match item["type"].as_str().unwrap_or_default() {
        "message" => {
            let whole = &item["content"][0];
            let empty =
                json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
            let part = |part: &Value| at(json!({"content_index": 0, "part": part}));
            events.push("response.content_part.added", part(&empty));
            for word in &say.words {
                let delta = json!({"content_index": 0, "delta": word, "logprobs": []});
                events.push("response.output_text.delta", at(delta));
            }
            let done = json!({"content_index": 0, "text": whole["text"], "logprobs": []});
            events.push("response.output_text.done", at(done));
            events.push("response.content_part.done", part(whole));
        }
        "reasoning" if item["summary"][0].is_null() => {}
        "reasoning" => {
            let whole = &item["summary"][0];
            let part = |part: &Value| at(json!({"summary_index": 0, "part": part}));
            let empty = json!({"type": "summary_text", "text": ""});
            events.push("response.reasoning_summary_part.added", part(&empty));
            for delta in parts(whole["text"].as_str().unwrap_or_default()) {
                let delta = json!({"summary_index": 0, "delta": delta});
                events.push("response.reasoning_summary_text.delta", at(delta));
            }
            let done = json!({"summary_index": 0, "text": whole["text"]});
            events.push("response.reasoning_summary_text.done", at(done));
            events.push("response.reasoning_summary_part.done", part(whole));
        }
        "custom_tool_call" => {
            for delta in parts(item["input"].as_str().unwrap_or_default()) {
                events.push("response.custom_tool_call_input.delta", at(json!({"delta": delta})));
            }
            let done = json!({"input": item["input"]});
            events.push("response.custom_tool_call_input.done", at(done));
        }
        _ => {
            for delta in parts(item["arguments"].as_str().unwrap_or_default()) {
                events.push("response.function_call_arguments.delta", at(json!({"delta": delta})));
            }
            let done = json!({"name": item["name"], "arguments": item["arguments"]});
            events.push("response.function_call_arguments.done", at(done));
        }
    }
}
