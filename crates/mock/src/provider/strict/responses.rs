//! What the Responses refuse.

use std::collections::HashMap;

use serde_json::Value;

use super::{Sound, base64, data_url, each, fault, must, name, one_of, only, schema, typed};
use crate::{Behaviour, provider::responses::SEAL};

const TOP: &[&str] = &[
    "background",
    "client_metadata",
    "context_management",
    "conversation",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "model",
    "moderation",
    "parallel_tool_calls",
    "previous_response_id",
    "prompt",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

pub(in super::super) fn responses(body: &Value, behaviour: &Behaviour) -> Sound {
    only(body, "body", TOP)?;
    typed(
        body,
        "body",
        &[
            ("max_output_tokens", Value::is_u64),
            ("temperature", Value::is_number),
            ("stream", Value::is_boolean),
            ("store", Value::is_boolean),
            ("instructions", Value::is_string),
            ("parallel_tool_calls", Value::is_boolean),
            ("reasoning", Value::is_object),
            ("include", Value::is_array),
        ],
    )?;
    let enough = body["max_output_tokens"].as_u64().is_none_or(|max| max >= 16);
    must(enough, "body.max_output_tokens", "integer below minimum value: expected at least 16")?;
    if super::is_reasoning(body["model"].as_str().unwrap_or_default()) {
        for name in ["temperature", "top_p", "top_logprobs"] {
            let none = body[name].is_null();
            must(none, &format!("body.{name}"), "unsupported parameter with this model")?;
        }
    } else {
        let none = body["reasoning"]["effort"].is_null();
        must(none, "body.reasoning.effort", "unsupported parameter with this model")?;
    }
    if !body["reasoning"].is_null() {
        only(&body["reasoning"], "body.reasoning", &["effort", "summary", "generate_summary"])?;
    }
    let format = &body["text"]["format"];
    if !format.is_null() {
        one_of(&format["type"], "body.text.format.type", &["text", "json_object", "json_schema"])?;
        if format["type"] == "json_schema" {
            schema::answer(format, "body.text.format")?;
        }
    }
    tools(body)?;
    match &body["input"] {
        Value::String(_) => Ok(()),
        input => items(input, body, behaviour),
    }
}

fn tools(body: &Value) -> Sound {
    if body["tools"].is_null() {
        return must(body["tool_choice"].is_null(), "body.tool_choice", "needs 'tools'");
    }
    for (at, tool) in each(&body["tools"], "body.tools")? {
        match tool["type"].as_str() {
            Some("function") => {
                only(tool, &at, &["type", "name", "description", "parameters", "strict"])?;
                name(&tool["name"], &at, 64)?;
                if !tool["parameters"].is_null() {
                    schema::object(&tool["parameters"], &at)?;
                }
                // Unlike in Chat Completions, strict is what is meant unless one says otherwise.
                if tool["strict"] != false && !tool["parameters"].is_null() {
                    schema::strict(&tool["parameters"], &at)?;
                }
            }
            Some("custom") => {
                only(tool, &at, &["type", "name", "description", "format"])?;
                name(&tool["name"], &at, 64)?;
            }
            Some(_) => {}
            None => return fault(at, "missing 'type'"),
        }
    }
    let choice = &body["tool_choice"];
    match choice {
        Value::Null => Ok(()),
        Value::String(_) => one_of(choice, "body.tool_choice", &["none", "auto", "required"]),
        _ => only(choice, "body.tool_choice", &["type", "name", "mode", "tools"]),
    }
}

fn items(input: &Value, body: &Value, behaviour: &Behaviour) -> Sound {
    let all = each(input, "input")?;
    must(!all.is_empty(), "input", "empty array, expected at least 1 item")?;
    let spoken = all.iter().rposition(|(_, item)| item["role"] == "user").unwrap_or(0);
    let mut open: HashMap<&str, &str> = HashMap::new();
    let mut reasoned = false;
    for (n, (at, item)) in all.iter().enumerate() {
        let kind = item["type"].as_str().unwrap_or("message");
        let call_id = item["call_id"].as_str().unwrap_or_default();
        match kind {
            "message" => message(item, at)?,
            "function_call" | "custom_tool_call" => {
                call(item, at, kind)?;
                open.insert(call_id, kind);
                if behaviour.sealed && body["reasoning"].is_object() && n > spoken {
                    must(reasoned, at, "was provided without its required 'reasoning' item")?;
                }
            }
            "function_call_output" | "custom_tool_call_output" => {
                only(item, at, &["type", "id", "call_id", "output", "status"])?;
                let asked = open.remove(call_id).is_some_and(|asked| kind.starts_with(asked));
                must(asked, at, "no tool call found for function call output with this call_id")?;
                output(&item["output"], at)?;
            }
            "reasoning" => {
                reasoning(item, at)?;
                let followed = all.get(n + 1).is_some_and(|(_, next)| {
                    let kind = next["type"].as_str().unwrap_or("message");
                    kind.ends_with("_call") || next["role"] == "assistant" || kind == "reasoning"
                });
                must(followed, at, "was provided without its required following item")?;
            }
            _ => {}
        }
        reasoned = kind == "reasoning" || reasoned && kind.ends_with("_call");
    }
    must(open.is_empty(), "input", "no tool output found for function call")
}

fn id(item: &Value, at: &str, prefix: &str) -> Sound {
    let sound =
        item["id"].is_null() || item["id"].as_str().is_some_and(|id| id.starts_with(prefix));
    must(sound, &format!("{at}.id"), &format!("expected an ID that begins with '{prefix}'"))
}

fn message(item: &Value, at: &str) -> Sound {
    only(item, at, &["type", "id", "role", "content", "status", "phase"])?;
    id(item, at, "msg")?;
    one_of(&item["role"], &format!("{at}.role"), &["user", "assistant", "system", "developer"])?;
    if item["content"].is_string() {
        return Ok(());
    }
    for (at, part) in each(&item["content"], &format!("{at}.content"))? {
        if item["role"] == "assistant" {
            one_of(&part["type"], &at, &["output_text", "refusal"])?;
            continue;
        }
        input(part, &at)?;
    }
    Ok(())
}

fn input(part: &Value, at: &str) -> Sound {
    one_of(&part["type"], at, &["input_text", "input_image", "input_file"])?;
    match part["type"].as_str().unwrap_or_default() {
        "input_text" => {
            only(part, at, &["type", "text"])?;
            must(part["text"].is_string(), at, "'text' must be a string")
        }
        "input_image" => {
            only(part, at, &["type", "image_url", "file_id", "detail"])?;
            if !part["detail"].is_null() {
                one_of(&part["detail"], at, &["auto", "low", "high", "original"])?;
            }
            let url = part["image_url"].as_str().unwrap_or_default();
            let found = data_url(url) || url.starts_with("http") || part["file_id"].is_string();
            must(found, at, "invalid 'image_url'")
        }
        _ => only(part, at, &["type", "file_data", "file_id", "file_url", "filename", "detail"]),
    }
}

fn call(item: &Value, at: &str, kind: &str) -> Sound {
    must(item["call_id"].is_string(), at, "missing 'call_id'")?;
    name(&item["name"], at, 128)?;
    if kind == "custom_tool_call" {
        only(item, at, &["type", "id", "call_id", "name", "namespace", "input", "status"])?;
        id(item, at, "ctc")?;
        return must(item["input"].is_string(), at, "'input' must be a string");
    }
    only(item, at, &["type", "id", "call_id", "name", "namespace", "arguments", "status"])?;
    id(item, at, "fc")?;
    must(item["arguments"].is_string(), at, "'arguments' must be a string")
}

fn output(output: &Value, at: &str) -> Sound {
    if output.is_string() {
        return Ok(());
    }
    each(output, &format!("{at}.output"))?.iter().try_for_each(|(at, part)| input(part, at))
}

fn reasoning(item: &Value, at: &str) -> Sound {
    only(item, at, &["type", "id", "summary", "content", "encrypted_content", "status"])?;
    must(item["id"].is_string(), at, "missing 'id'")?;
    id(item, at, "rs_")?;
    must(item["summary"].is_array(), at, "missing 'summary'")?;
    let sealed = &item["encrypted_content"];
    let own = base64(sealed) && *sealed == SEAL;
    must(own, at, "the encrypted content could not be verified")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{refuses, strict};
    use super::*;

    #[test]
    fn what_the_responses_refuse_is_refused() {
        let closed = json!({"type": "object", "properties": {}, "required": [], "additionalProperties": false});
        let good = json!({
            "model": "gpt-5.6", "reasoning": {"effort": "low"}, "instructions": "be brief",
            "tools": [{"type": "function", "name": "f", "parameters": closed}],
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
                {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEAL},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "x"},
            ],
        });
        refuses(
            good,
            |body| responses(body, &strict()),
            &[
                ("/stop", json!(["x"]), "unknown parameter"),
                ("/temperature", json!(1), "unsupported parameter"),
                ("/model", json!("gpt-4.1"), "unsupported parameter"),
                ("/tools/0/parameters/additionalProperties", json!(true), "strict schema"),
                ("/tools/0/function", json!({}), "unknown parameter"),
                ("/input/0/content/0/type", json!("text"), "not one of"),
                ("/input/1/id", json!("x"), "begins with"),
                ("/input/1/encrypted_content", json!("EqMD"), "could not be verified"),
                ("/input/2/id", json!("call_1"), "begins with"),
                ("/input/2/arguments", json!({}), "must be a string"),
                ("/input/2/call_id", json!("d"), "no tool call found"),
                ("/input/3", json!({"role": "user", "content": "hi"}), "no tool output"),
                ("/input/3/output", json!({"a": 1}), "must be a list"),
            ],
        );
    }

    #[test]
    fn a_sealed_call_stands_behind_its_reasoning() {
        let call = json!({"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"});
        let output = json!({"type": "function_call_output", "call_id": "c", "output": "x"});
        let seal =
            json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": SEAL});
        let user = json!({"role": "user", "content": "hi"});
        let check = |input: &[&Value]| {
            let body = json!({"model": "gpt-5.6", "reasoning": {"effort": "low"}, "input": input});
            responses(&body, &Behaviour::parse("sealed")).is_ok()
        };
        assert!(check(&[&user, &seal, &call, &output]));
        assert!(!check(&[&user, &call, &output]));
        assert!(check(&[&call, &output, &user]), "what is over needs no proof");
    }
}
