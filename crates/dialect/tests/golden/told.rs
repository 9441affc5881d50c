//! What a provider is told, without the differences that it does not see, so that a case does not
//! prescribe a spelling.

use crate::json::Json;

/// Members whose values are the caller's own: nothing is renamed inside of them.
const OPAQUE: [&str; 6] = [
    "args",
    "response",
    "parameters",
    "parametersJsonSchema",
    "responseSchema",
    "responseJsonSchema",
];

/// The body for a provider of `dialect` in one spelling.
pub(crate) fn plainly(dialect: &str, mut body: Json) -> Json {
    if *body.get("stream") == Json::Bool(false) {
        body.take("stream");
    }
    match dialect {
        "anthropic" => anthropic(&mut body),
        "gemini" => return gemini(body),
        _ => {}
    }
    body
}

/// `custom` is what a tool is if nothing is said.
fn anthropic(body: &mut Json) {
    let tools = body.get_mut("tools").map(Json::items_mut).unwrap_or_default();
    for tool in tools.iter_mut().filter(|tool| tool.get("type").str() == "custom") {
        tool.take("type");
    }
}

fn gemini(body: Json) -> Json {
    let mut body = camel(body);
    for tool in body.get_mut("tools").map(Json::items_mut).unwrap_or_default() {
        let told = tool.get_mut("functionDeclarations").map(Json::items_mut);
        for schema in told.unwrap_or_default().iter_mut().filter_map(|f| f.get_mut("parameters")) {
            upper_types(schema);
        }
    }
    if matches!(body.get("generationConfig"), Json::Object(members) if members.is_empty()) {
        body.take("generationConfig");
    }
    if let Some(config) = body.get_mut("generationConfig") {
        config.get_mut("responseSchema").map(upper_types);
        let level = config.get_mut("thinkingConfig").and_then(|c| c.get_mut("thinkingLevel"));
        if let Some(Json::Text(level)) = level {
            level.make_ascii_uppercase();
        }
    }
    // Its role is ignored there.
    body.get_mut("systemInstruction").and_then(|system| system.take("role"));
    body
}

/// Gemini takes `snake_case` as well.
fn camel(value: Json) -> Json {
    match value {
        Json::List(items) => Json::List(items.into_iter().map(camel).collect()),
        Json::Object(members) => Json::Object(
            members
                .into_iter()
                .map(|(name, value)| {
                    let name = camel_name(&name);
                    let value = if OPAQUE.contains(&&*name) { value } else { camel(value) };
                    (name, value)
                })
                .collect(),
        ),
        value => value,
    }
}

fn camel_name(name: &str) -> String {
    let mut camel = String::new();
    let mut rest = name.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().filter(|next| next.is_ascii_lowercase() || next.is_ascii_digit());
        match next.copied() {
            Some(next) if c == '_' => {
                camel.push(next.to_ascii_uppercase());
                rest.next();
            }
            _ => camel.push(c),
        }
    }
    camel
}

/// Types of schemas are upper case in Gemini's own form and understood in both.
fn upper_types(schema: &mut Json) {
    match schema {
        Json::List(items) => items.iter_mut().for_each(upper_types),
        Json::Object(members) => {
            for (name, value) in members {
                match value {
                    Json::Text(text) if name == "type" => text.make_ascii_uppercase(),
                    value => upper_types(value),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(dialect: &str, body: &str, plain: &str) {
        let [body, plain] = [body, plain].map(|text| Json::read(text.as_bytes()).unwrap());
        assert_eq!(plainly(dialect, body).to_string(), plain.to_string());
    }

    #[test]
    fn spellings_that_mean_the_same_become_one() {
        check("openai-chat", r#"{"stream": false, "n": 1}"#, r#"{"n": 1}"#);
        check("openai-chat", r#"{"stream": true}"#, r#"{"stream": true}"#);
        check(
            "anthropic",
            r#"{"tools": [{"type": "custom", "name": "a"}, {"type": "web_search_1"}]}"#,
            r#"{"tools": [{"name": "a"}, {"type": "web_search_1"}]}"#,
        );
        check(
            "gemini",
            r#"{"generation_config": {}, "system_instruction": {"role": "user", "parts": []},
                "contents": [{"parts": [{"function_call": {"args": {"a_b": 1}}}]}],
                "tools": [{"function_declarations": [{"parameters": {"type": "object"}}]}]}"#,
            r#"{"systemInstruction": {"parts": []},
                "contents": [{"parts": [{"functionCall": {"args": {"a_b": 1}}}]}],
                "tools": [{"functionDeclarations": [{"parameters": {"type": "OBJECT"}}]}]}"#,
        );
        check(
            "gemini",
            r#"{"generationConfig": {"thinkingConfig": {"thinking_level": "low"}}}"#,
            r#"{"generationConfig": {"thinkingConfig": {"thinkingLevel": "LOW"}}}"#,
        );
    }
}
