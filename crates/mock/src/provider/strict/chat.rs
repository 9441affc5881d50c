//! What Chat Completions refuses.

use serde_json::Value;

use super::{Sound, base64, data_url, each, fault, must, name, one_of, only, schema, typed};
use crate::Behaviour;

const TOP: &[&str] = &[
    "audio",
    "frequency_penalty",
    "function_call",
    "functions",
    "logit_bias",
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "modalities",
    "model",
    "moderation",
    "n",
    "parallel_tool_calls",
    "prediction",
    "presence_penalty",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
    "verbosity",
    "web_search_options",
];

/// What reasoning models do not take.
const NOT_REASONING: &[&str] = &[
    "max_tokens",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "stop",
];

pub(in super::super) fn chat(body: &Value, behaviour: &Behaviour) -> Sound {
    only(body, "body", TOP)?;
    typed(
        body,
        "body",
        &[
            ("max_completion_tokens", Value::is_u64),
            ("max_tokens", Value::is_u64),
            ("temperature", Value::is_number),
            ("top_p", Value::is_number),
            ("stream", Value::is_boolean),
            ("n", Value::is_u64),
            ("seed", Value::is_i64),
            ("parallel_tool_calls", Value::is_boolean),
            ("user", Value::is_string),
            ("safety_identifier", Value::is_string),
        ],
    )?;
    let model = body["model"].as_str().unwrap_or_default();
    if super::is_reasoning(model) {
        let found = NOT_REASONING.iter().find(|name| !body[**name].is_null());
        if let Some(name) = found {
            return fault(format!("body.{name}"), "unsupported parameter with this model");
        }
    } else if model.starts_with("gpt-4") {
        let effort = body["reasoning_effort"].is_null();
        must(effort, "body.reasoning_effort", "unrecognized argument with this model")?;
    }
    let options = body["stream_options"].is_null() || body["stream"] == true;
    must(options, "body.stream_options", "only allowed when 'stream' is enabled")?;
    let stops = body["stop"].as_array().is_none_or(|all| (1..=4).contains(&all.len()));
    must(stops, "body.stop", "must have 1 to 4 sequences")?;
    tools(body)?;
    let format = &body["response_format"];
    if !format.is_null() {
        one_of(
            &format["type"],
            "body.response_format.type",
            &["text", "json_object", "json_schema"],
        )?;
        if format["type"] == "json_schema" {
            schema::answer(&format["json_schema"], "body.response_format.json_schema")?;
        }
    }
    messages(&body["messages"], behaviour)
}

fn tools(body: &Value) -> Sound {
    if body["tools"].is_null() {
        for name in ["tool_choice", "parallel_tool_calls"] {
            must(body[name].is_null(), name, "is only allowed when 'tools' are specified")?;
        }
        return Ok(());
    }
    let all = each(&body["tools"], "body.tools")?;
    must(!all.is_empty(), "body.tools", "empty array, expected at least 1 tool")?;
    for (at, tool) in &all {
        one_of(&tool["type"], &format!("{at}.type"), &["function", "custom"])?;
        if tool["type"] == "custom" {
            only(tool, at, &["type", "custom"])?;
            name(&tool["custom"]["name"], at, 64)?;
            continue;
        }
        only(tool, at, &["type", "function"])?;
        let function = &tool["function"];
        only(function, at, &["name", "description", "parameters", "strict"])?;
        name(&function["name"], at, 64)?;
        if !function["parameters"].is_null() {
            schema::object(&function["parameters"], at)?;
        }
        if function["strict"] == true {
            schema::strict(&function["parameters"], at)?;
        }
    }
    let choice = &body["tool_choice"];
    match choice {
        Value::Null => Ok(()),
        Value::String(_) => one_of(choice, "body.tool_choice", &["none", "auto", "required"]),
        _ => only(choice, "body.tool_choice", &["type", "function", "custom", "allowed_tools"]),
    }
}

fn messages(messages: &Value, behaviour: &Behaviour) -> Sound {
    let all = each(messages, "messages")?;
    must(!all.is_empty(), "messages", "empty array, expected at least 1 message")?;
    let spoken = all.iter().rposition(|(_, message)| message["role"] == "user").unwrap_or(0);
    let mut open: Vec<&str> = Vec::new();
    for (n, (at, message)) in all.iter().enumerate() {
        let role = message["role"].as_str().unwrap_or_default();
        if role == "tool" {
            only(message, at, &["role", "content", "tool_call_id"])?;
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(asked) = open.iter().position(|open| *open == id) else {
                return fault(
                    at,
                    "messages with role 'tool' must be a response to a preceding message with 'tool_calls'",
                );
            };
            open.remove(asked);
            content(&message["content"], at, &["text"])?;
            continue;
        }
        must(
            open.is_empty(),
            at,
            "an assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'",
        )?;
        match role {
            "system" | "developer" => {
                only(message, at, &["role", "content", "name"])?;
                content(&message["content"], at, &["text"])?;
            }
            "user" => {
                only(message, at, &["role", "content", "name"])?;
                content(&message["content"], at, &["text", "image_url", "input_audio", "file"])?;
            }
            "assistant" => {
                open = assistant(message, at, behaviour)?;
                let proof = message["reasoning_content"].is_string();
                if behaviour.sealed && behaviour.reasoning && n > spoken && !open.is_empty() {
                    must(
                        proof,
                        at,
                        "the `reasoning_content` in the thinking mode must be passed back to the API",
                    )?;
                }
            }
            _ => return fault(format!("{at}.role"), "is not a role"),
        }
    }
    must(open.is_empty(), "messages", "'tool_calls' must be followed by tool messages")
}

fn assistant<'a>(
    message: &'a Value,
    at: &str,
    behaviour: &Behaviour,
) -> Result<Vec<&'a str>, super::Fault> {
    // Its own answers come back from its SDKs with all that those have made of them.
    let mut known = vec![
        "role",
        "content",
        "name",
        "refusal",
        "tool_calls",
        "audio",
        "function_call",
        "annotations",
        "parsed",
    ];
    if behaviour.reasoning {
        known.push("reasoning_content");
    }
    only(message, at, &known)?;
    let calls = &message["tool_calls"];
    if !message["content"].is_null() {
        content(&message["content"], at, &["text", "refusal"])?;
    } else {
        let said = calls.is_array() || message["refusal"].is_string();
        must(said, at, "'content' is required unless 'tool_calls' is specified")?;
    }
    let mut open = Vec::new();
    if calls.is_null() {
        return Ok(open);
    }
    let calls = each(calls, &format!("{at}.tool_calls"))?;
    must(!calls.is_empty(), at, "'tool_calls': empty array")?;
    for (at, call) in calls {
        only(call, &at, &["id", "type", "function", "custom", "index"])?;
        let id = call["id"].as_str().filter(|id| (1..=40).contains(&id.len()));
        must(id.is_some(), &at, "'id' must be a string of at most 40 characters")?;
        if call["type"] == "custom" {
            must(call["custom"]["input"].is_string(), &at, "'input' must be a string")?;
        } else {
            one_of(&call["type"], &at, &["function"])?;
            only(&call["function"], &at, &["name", "arguments", "parsed_arguments"])?;
            name(&call["function"]["name"], &at, 64)?;
            must(call["function"]["arguments"].is_string(), &at, "'arguments' must be a string")?;
        }
        let id = id.unwrap_or_default();
        must(!open.contains(&id), &at, "the id stands twice")?;
        open.push(id);
    }
    Ok(open)
}

fn content(content: &Value, at: &str, kinds: &[&str]) -> Sound {
    if content.is_string() {
        return Ok(());
    }
    let parts = each(content, &format!("{at}.content"))?;
    must(!parts.is_empty(), at, "'content': empty array")?;
    for (at, part) in parts {
        one_of(&part["type"], &format!("{at}.type"), kinds)?;
        match part["type"].as_str().unwrap_or_default() {
            "text" => {
                only(part, &at, &["type", "text"])?;
                must(part["text"].is_string(), &at, "'text' must be a string")?;
            }
            "image_url" => {
                only(part, &at, &["type", "image_url"])?;
                only(&part["image_url"], &at, &["url", "detail"])?;
                let url = part["image_url"]["url"].as_str().unwrap_or_default();
                must(data_url(url) || url.starts_with("http"), &at, "invalid image URL")?;
            }
            "input_audio" => {
                only(&part["input_audio"], &at, &["data", "format"])?;
                must(base64(&part["input_audio"]["data"]), &at, "invalid audio data")?;
            }
            "file" => only(&part["file"], &at, &["file_data", "file_id", "filename"])?,
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{refuses, strict};
    use super::*;

    #[test]
    fn what_openai_refuses_is_refused() {
        let call =
            json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let good = json!({
            "model": "gpt-4.1", "temperature": 0.5,
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": null, "tool_calls": [call]},
                {"role": "tool", "tool_call_id": "c", "content": "x"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        });
        refuses(
            good,
            |body| chat(body, &strict()),
            &[
                ("/top_k", json!(1), "unknown parameter"),
                ("/temperature", json!("1"), "wrong type"),
                ("/stream_options", json!({"include_usage": true}), "only allowed"),
                ("/model", json!("gpt-5.6"), "unsupported parameter"),
                ("/messages/1/role", json!("model"), "not a role"),
                ("/messages/1/content", json!([]), "empty array"),
                ("/messages/1/content/0/type", json!("input_text"), "not one of"),
                ("/messages/1/cache_control", json!({}), "unknown parameter"),
                ("/messages/2/reasoning_content", json!("x"), "unknown parameter"),
                ("/messages/2/tool_calls/0/function/arguments", json!({}), "must be a string"),
                ("/messages/2/tool_calls/0/function/name", json!("a.b"), "pattern"),
                ("/messages/3/tool_call_id", json!("d"), "must be a response"),
                ("/messages/3/role", json!("user"), ""),
                ("/tools", json!([]), "empty array"),
                ("/tools/0/name", json!("f"), "unknown parameter"),
                (
                    "/response_format",
                    json!({"type": "json_schema", "json_schema": {"schema": {}}}),
                    "name",
                ),
            ],
        );
    }
}
