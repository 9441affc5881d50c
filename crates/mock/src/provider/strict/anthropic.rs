//! What Anthropic refuses.

use serde_json::Value;

use super::{Fault, Sound, base64, each, fault, must, name, one_of, only, schema, typed};
use crate::{Behaviour, provider::anthropic::SIGNATURE};

const TOP: &[&str] = &[
    "cache_control",
    "container",
    "context_management",
    "inference_geo",
    "max_tokens",
    "mcp_servers",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "service_tier",
    "speed",
    "stop_sequences",
    "stream",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

const COUNT: &[&str] = &[
    "cache_control",
    "context_management",
    "mcp_servers",
    "messages",
    "model",
    "output_config",
    "output_format",
    "system",
    "thinking",
    "tool_choice",
    "tools",
];

const TOOL: &[&str] = &[
    "allowed_callers",
    "cache_control",
    "defer_loading",
    "description",
    "eager_input_streaming",
    "input_examples",
    "input_schema",
    "name",
    "strict",
    "type",
];

pub(in super::super) fn anthropic_count(body: &Value, behaviour: &Behaviour) -> Sound {
    if !behaviour.strict {
        return Ok(());
    }
    only(body, "body", COUNT)?;
    tools(body)?;
    messages(body, behaviour)
}

pub(in super::super) fn anthropic(body: &Value, behaviour: &Behaviour) -> Sound {
    only(body, "body", TOP)?;
    typed(
        body,
        "body",
        &[
            ("temperature", Value::is_number),
            ("top_p", Value::is_number),
            ("top_k", Value::is_u64),
            ("stream", Value::is_boolean),
            ("stop_sequences", Value::is_array),
            ("metadata", Value::is_object),
            ("thinking", Value::is_object),
        ],
    )?;
    must(body["max_tokens"] != 0, "max_tokens", "must be at least 1")?;
    let user = body["metadata"]["user_id"].as_str().is_none_or(|id| id.len() <= 256);
    must(user, "metadata.user_id", "is too long")?;
    for (at, stop) in each(body.get("stop_sequences").unwrap_or(&Value::Array(vec![])), "stop")? {
        let sound = stop.as_str().is_some_and(|stop| !stop.trim().is_empty());
        must(sound, &at, "each stop sequence must contain non-whitespace")?;
    }
    sampling(body)?;
    thinking(body)?;
    format(body)?;
    tools(body)?;
    match &body["system"] {
        Value::Null | Value::String(_) => {}
        system => blocks(system, "system", &["text"]).map(drop)?,
    }
    messages(body, behaviour)
}

/// Whether it is one of the models that always think, and decide themselves how.
fn always_thinks(body: &Value) -> bool {
    body["model"].as_str().is_some_and(|model| model.starts_with("claude-opus-5"))
}

fn sampling(body: &Value) -> Sound {
    let given = |name: &str| !body[name].is_null();
    if always_thinks(body) {
        for name in ["temperature", "top_p", "top_k"] {
            must(!given(name), name, "is not supported by this model")?;
        }
        return Ok(());
    }
    let warm = body["temperature"].as_f64().is_none_or(|value| (0.0..=1.0).contains(&value));
    must(warm, "temperature", "range: 0..1")?;
    let both = given("temperature") && given("top_p");
    must(!both, "temperature", "`temperature` and `top_p` cannot both be specified")
}

fn thinking(body: &Value) -> Sound {
    let thinking = &body["thinking"];
    if thinking.is_null() {
        return Ok(());
    }
    let kind = thinking["type"].as_str().unwrap_or_default();
    if always_thinks(body) {
        one_of(&thinking["type"], "thinking.type", &["adaptive"])?;
    }
    match kind {
        "disabled" => return only(thinking, "thinking", &["type"]),
        "adaptive" => only(thinking, "thinking", &["type", "display"])?,
        "enabled" => {
            only(thinking, "thinking", &["type", "budget_tokens", "display"])?;
            let budget = thinking["budget_tokens"].as_u64().unwrap_or_default();
            must(budget >= 1024, "thinking.budget_tokens", "should be at least 1024")?;
            let max = body["max_tokens"].as_u64().unwrap_or_default();
            must(budget < max, "max_tokens", "must be greater than `thinking.budget_tokens`")?;
        }
        _ => return fault("thinking.type", "is not one of adaptive, disabled, enabled"),
    }
    let cool = body["temperature"].is_null() || body["temperature"].as_f64() == Some(1.0);
    must(cool, "temperature", "may only be set to 1 when thinking is enabled")?;
    must(body["top_k"].is_null(), "top_k", "must be unset when thinking is enabled")?;
    let forced = matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool"));
    must(!forced, "thinking", "may not be enabled when tool_choice forces tool use")
}

fn format(body: &Value) -> Sound {
    let config = &body["output_config"];
    if config.is_null() {
        return Ok(());
    }
    only(config, "output_config", &["effort", "format"])?;
    if !config["effort"].is_null() {
        let efforts = &["low", "medium", "high", "xhigh", "max"];
        one_of(&config["effort"], "output_config.effort", efforts)?;
    }
    if config["format"].is_null() {
        return Ok(());
    }
    only(&config["format"], "output_config.format", &["type", "schema"])?;
    one_of(&config["format"]["type"], "output_config.format.type", &["json_schema"])?;
    schema::anthropic(&config["format"]["schema"], "output_config.format.schema")
}

fn tools(body: &Value) -> Sound {
    let choice = &body["tool_choice"];
    if body["tools"].is_null() {
        return must(
            choice.is_null(),
            "tool_choice",
            "may only be specified while providing tools",
        );
    }
    let mut names = Vec::new();
    for (at, tool) in each(&body["tools"], "tools")? {
        name(&tool["name"], &format!("{at}.name"), 128)?;
        must(!names.contains(&&tool["name"]), &at, "tool names must be unique")?;
        names.push(&tool["name"]);
        if matches!(tool["type"].as_str(), None | Some("custom")) {
            only(tool, &at, TOOL)?;
            schema::object(&tool["input_schema"], &format!("{at}.input_schema"))?;
            if tool["strict"] == true {
                schema::anthropic(&tool["input_schema"], &format!("{at}.input_schema"))?;
            }
        }
    }
    if choice.is_null() {
        return Ok(());
    }
    only(choice, "tool_choice", &["type", "name", "disable_parallel_tool_use"])?;
    one_of(&choice["type"], "tool_choice.type", &["auto", "any", "tool", "none"])?;
    let forced = matches!(choice["type"].as_str(), Some("any" | "tool"));
    must(!(forced && always_thinks(body)), "tool_choice", "cannot be forced with this model")?;
    let known = choice["type"] != "tool" || names.contains(&&choice["name"]);
    must(known, "tool_choice.name", "tool not found in provided tools")
}

fn messages(body: &Value, behaviour: &Behaviour) -> Sound {
    let all = each(&body["messages"], "messages")?;
    must(!all.is_empty(), "messages", "at least one message is required")?;
    let thinks = matches!(body["thinking"]["type"].as_str(), Some("enabled" | "adaptive"));
    // What was said before the user spoke last needs no proof any more.
    let spoken = all.iter().rposition(|(_, message)| is_speech(message)).unwrap_or(0);
    let mut open: Vec<&str> = Vec::new();
    let mut before = "";
    for (n, (at, message)) in all.iter().enumerate() {
        only(message, at, &["role", "content"])?;
        let role = message["role"].as_str().unwrap_or_default();
        let content = &message["content"];
        let found = match content {
            Value::String(text) => {
                must(!text.is_empty(), at, "messages must have non-empty content")?;
                vec![]
            }
            _ => blocks(content, &format!("{at}.content"), kinds(role))?,
        };
        match role {
            "user" => results(&found, at, &open)?,
            "system" => {
                must(always_thinks(body), &format!("{at}.role"), "unexpected role \"system\"")?;
                must(before == "user", at, "a system message must stand behind a user turn")?;
            }
            "assistant" => must(open.is_empty(), at, UNANSWERED)?,
            _ => return fault(format!("{at}.role"), "must be 'user' or 'assistant'"),
        }
        open.clear();
        if role == "assistant" {
            let calls = found.iter().filter(|(_, block)| block["type"] == "tool_use");
            open.extend(calls.filter_map(|(_, block)| block["id"].as_str()));
            let first = found.first().map_or("", |(_, b)| b["type"].as_str().unwrap_or_default());
            let required = body["thinking"]["type"] == "enabled" || behaviour.sealed && thinks;
            if required && n > spoken && !open.is_empty() {
                let proven = matches!(first, "thinking" | "redacted_thinking");
                must(
                    proven,
                    at,
                    "expected `thinking` or `redacted_thinking`, but found `tool_use`",
                )?;
            }
        }
        before = role;
    }
    let first = &all[0].1["role"];
    must(first == "user", "messages", "first message must use the \"user\" role")?;
    must(open.is_empty(), "messages", UNANSWERED)?;
    let prefilled = before == "assistant" && always_thinks(body);
    must(!prefilled, "messages", "this model does not support assistant message prefill")
}

const UNANSWERED: &str = "`tool_use` ids were found without `tool_result` blocks immediately after";

fn is_speech(message: &Value) -> bool {
    let content = &message["content"];
    let blocks = content.as_array().map(Vec::as_slice).unwrap_or_default();
    message["role"] == "user" && !blocks.iter().any(|block| block["type"] == "tool_result")
}

fn kinds(role: &str) -> &'static [&'static str] {
    match role {
        "assistant" => &["text", "thinking", "redacted_thinking", "tool_use"],
        "system" => &["text"],
        _ => &["text", "image", "document", "tool_result", "search_result"],
    }
}

/// One result for each call, and all of them in front.
fn results(found: &[(String, &Value)], at: &str, open: &[&str]) -> Sound {
    let is_result = |block: &Value| block["type"] == "tool_result";
    let count = found.iter().filter(|(_, block)| is_result(block)).count();
    let first = found.iter().take_while(|(_, block)| is_result(block));
    let ids: Vec<&str> = first.filter_map(|(_, block)| block["tool_use_id"].as_str()).collect();
    must(ids.len() == count, at, "`tool_result` blocks must come first")?;
    let known = ids.iter().all(|id| open.contains(id));
    must(known, at, "unexpected `tool_use_id` found in `tool_result` blocks")?;
    must(open.iter().all(|id| ids.contains(id)), at, UNANSWERED)?;
    must(ids.len() == open.len(), at, "each `tool_use` must have a single result")
}

fn blocks<'a>(
    content: &'a Value,
    at: &str,
    kinds: &[&str],
) -> Result<Vec<(String, &'a Value)>, Fault> {
    let blocks = each(content, at)?;
    must(!blocks.is_empty(), at, "messages must have non-empty content")?;
    for (at, block) in &blocks {
        one_of(&block["type"], &format!("{at}.type"), kinds)?;
        match block["type"].as_str().unwrap_or_default() {
            "text" => {
                only(block, at, &["type", "text", "cache_control", "citations"])?;
                let said = block["text"].as_str().is_some_and(|text| !text.is_empty());
                must(said, at, "text content blocks must be non-empty")?;
            }
            "image" => {
                only(block, at, &["type", "source", "cache_control"])?;
                source(
                    &block["source"],
                    at,
                    &["image/jpeg", "image/png", "image/gif", "image/webp"],
                )?;
            }
            "document" => {
                let known = &["type", "source", "title", "context", "citations", "cache_control"];
                only(block, at, known)?;
                source(&block["source"], at, &["application/pdf"])?;
            }
            "thinking" => {
                only(block, at, &["type", "thinking", "signature"])?;
                let own = block["signature"] == SIGNATURE && block["thinking"].is_string();
                must(own, at, "invalid `signature` in `thinking` block")?;
            }
            "tool_use" => {
                only(block, at, &["type", "id", "name", "input", "cache_control", "caller"])?;
                name(&block["name"], at, 128)?;
                name(&block["id"], &format!("{at}.id"), 128)?;
                must(block["input"].is_object(), at, "input: should be a valid dictionary")?;
            }
            "tool_result" => {
                let known = &["type", "tool_use_id", "content", "is_error", "cache_control"];
                only(block, at, known)?;
                if block["content"].is_array() && block["content"] != serde_json::json!([]) {
                    let inner = &["text", "image", "document", "search_result"];
                    self::blocks(&block["content"], &format!("{at}.content"), inner)?;
                }
            }
            _ => {}
        }
    }
    Ok(blocks)
}

fn source(source: &Value, at: &str, mimes: &[&str]) -> Sound {
    match source["type"].as_str().unwrap_or_default() {
        "base64" => {
            only(source, at, &["type", "media_type", "data"])?;
            one_of(&source["media_type"], at, mimes)?;
            must(base64(&source["data"]), at, "source.data: invalid base64 data")
        }
        "url" => only(source, at, &["type", "url"]),
        "text" | "content" | "file" => Ok(()),
        _ => fault(at, "source.type: not one of base64, url, text, content, file"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{refuses, strict};
    use super::*;

    fn good() -> Value {
        json!({
            "model": "claude-haiku-4-5", "max_tokens": 2000,
            "system": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}],
            "tools": [{"name": "f", "input_schema": {"type": "object"}}],
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hi"}]},
                {"role": "assistant", "content": [
                    {"type": "thinking", "thinking": "", "signature": SIGNATURE},
                    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
                ]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": "t", "content": "x"},
                    {"type": "text", "text": "go on"},
                ]},
            ],
        })
    }

    #[test]
    fn what_anthropic_refuses_is_refused() {
        let result = json!({"type": "tool_result", "tool_use_id": "t"});
        let text = json!({"type": "text", "text": "x"});
        refuses(
            good(),
            |body| anthropic(body, &strict()),
            &[
                ("/store", json!(false), "unknown parameter"),
                ("/temperature", json!(1.5), "range"),
                ("/stop_sequences", json!(["\n"]), "non-whitespace"),
                ("/system/0/text", json!(""), "non-empty"),
                ("/tool_choice", json!({"type": "tool", "name": "g"}), "not found"),
                ("/thinking", json!({"type": "enabled", "budget_tokens": 10}), "at least 1024"),
                ("/thinking", json!({"type": "enabled", "budget_tokens": 2000}), "greater"),
                ("/tools/0/input_schema", json!({}), "type 'object'"),
                ("/tools/0/parameters", json!({}), "unknown parameter"),
                ("/tools/0/strict", json!(true), "'additionalProperties' must be"),
                ("/messages/0/role", json!("developer"), "must be 'user'"),
                ("/messages/0/name", json!("me"), "unknown parameter"),
                ("/messages/0/content/0/text", json!(""), "non-empty"),
                ("/messages/0/content", json!([]), "non-empty"),
                ("/messages/1/content/0/signature", json!("bW9jaw=="), "invalid `signature`"),
                ("/messages/1/content/1/input", json!("{}"), "dictionary"),
                ("/messages/1/content/1/id", json!("a.b"), "pattern"),
                ("/messages/2/content/0/tool_use_id", json!("u"), "unexpected"),
                ("/messages/2/content", json!([text, result]), "first"),
                ("/messages/2/content", json!([text]), "without `tool_result`"),
                ("/messages/2/role", json!("system"), "not one of"),
            ],
        );
    }

    #[test]
    fn models_that_always_think_take_less() {
        let mut newer = good();
        newer["model"] = json!("claude-opus-5-5");
        refuses(
            newer,
            |body| anthropic(body, &strict()),
            &[
                ("/top_p", json!(0.5), "not supported"),
                ("/tool_choice", json!({"type": "any"}), "cannot be forced"),
                ("/thinking", json!({"type": "disabled"}), "not one of"),
                (
                    "/messages",
                    json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]),
                    "prefill",
                ),
            ],
        );
    }

    #[test]
    fn thinking_and_its_proof_come_back_together() {
        let mut body = good();
        body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024});
        refuses(
            body.clone(),
            |body| anthropic(body, &strict()),
            &[
                ("/tool_choice", json!({"type": "any"}), "forces"),
                ("/temperature", json!(0.5), "may only be set to 1"),
                (
                    "/messages/1/content/0",
                    json!({"type": "text", "text": "x"}),
                    "expected `thinking`",
                ),
            ],
        );
    }
}
