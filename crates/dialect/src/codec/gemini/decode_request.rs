//! Decodes requests of a Gemini client.

use std::borrow::Cow;

use super::{
    decode_config::Config,
    decode_contents::Contents,
    decode_tools::{tool_config, tools},
    fields::{each, list, object, wrong},
};
use crate::{
    Ask, Failure, FailureKind, Value,
    chat::{Request, Wish},
};

/// Decodes a request, also the two forms of a request to count tokens.
pub(super) fn decode<'a>(ask: Ask<'a>) -> Result<Request<'a>, Failure> {
    let body = Value::read(ask.body)
        .map_err(|error| Failure::new(FailureKind::BadRequest, error.to_string()))?;
    if !body.is_object() {
        return Err(Failure::new(FailureKind::BadRequest, "the body is not a JSON object"));
    }
    let mut request = Request {
        model: ask.model.map(Cow::Borrowed).unwrap_or_default(),
        stream: ask.stream,
        wish: Wish { include_usage: true, as_array: ask.stream && ask.as_array, ..Wish::default() },
        ..Request::default()
    };
    let nested = ["generateContentRequest", "generate_content_request"];
    match nested.iter().find_map(|name| Some((name, body.find(name)?))) {
        Some((path, inner)) => read(object(inner, path)?, path, &mut request)?,
        None => read(&body, "", &mut request)?,
    }
    Ok(request)
}

fn read<'a>(body: &Value<'a>, path: &str, request: &mut Request<'a>) -> Result<(), Failure> {
    let mut system = None;
    let mut contents = None;
    for (name, path, value) in each(body, path) {
        match &*name {
            "contents" => contents = Some((path, value)),
            "systemInstruction" => system = Some((path, value)),
            "tools" => tools(value, &path, request)?,
            "toolConfig" => tool_config(value, &path, request)?,
            "generationConfig" => Config::read(value, &path, request)?,
            "safetySettings" if list(value).is_empty() => {}
            "cachedContent" => {
                let message = format!("`{path}` is content that only Google has");
                return Err(Failure::unsayable(path, message));
            }
            "model" if request.model.is_empty() => {
                let model = value.cow().unwrap_or_default();
                request.model = match model.strip_prefix("models/") {
                    Some(bare) => Cow::Owned(bare.to_owned()),
                    None => model,
                };
            }
            // Storage, billing and labels do not affect the answer.
            "model" | "labels" | "serviceTier" | "store" => {}
            _ => request.dropped.push(path),
        }
    }
    let mut reader = Contents::new(&mut request.turns, &mut request.dropped);
    if let Some((path, value)) = system {
        reader.system(value, &path)?;
    }
    match contents {
        Some((path, value)) => reader.contents(value, &path),
        None => Err(wrong("contents", "there, with at least one content")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(body: &str) -> Ask<'_> {
        Ask { body: body.as_bytes(), model: Some("m"), stream: false, as_array: false }
    }

    /// Checks which fields of a valid request are dropped.
    fn check(fields: &str, dropped: &[&str]) {
        let body = format!(r#"{{"contents":[{{"parts":[{{"text":"x"}}]}}],{fields}}}"#);
        let request = decode(ask(&body)).expect(fields);
        assert_eq!(request.dropped, dropped, "{fields}");
    }

    /// Checks which field a refusal names.
    fn refused(body: &str, param: &str) {
        let failure = decode(ask(body)).expect_err(body);
        assert_eq!(
            (failure.kind, failure.param.as_deref().unwrap_or("")),
            (FailureKind::BadRequest, param),
            "{body}"
        );
        assert!(failure.message.contains(param), "{}", failure.message);
    }

    #[test]
    fn what_no_other_dialect_knows_is_named_as_it_was_spelled() {
        check(r#""safety_settings":[{"category":"x"}]"#, &["safety_settings"]);
        check(r#""safetySettings":[],"labels":{"a":"b"},"serviceTier":"flex","x":null"#, &[]);
        check(r#""futureField":1"#, &["futureField"]);
        check(
            r#""generation_config":{"new_thing":1,"media_resolution":"LOW"}"#,
            &["generation_config.new_thing"],
        );
        check(r#""tools":[{"googleSearch":{}},{"code_execution":{}}]"#, &["tools"]);
        check(r#""toolConfig":{"retrievalConfig":{}}"#, &["toolConfig.retrievalConfig"]);
    }

    #[test]
    fn a_malformed_body_is_refused_with_the_field_at_fault() {
        refused("", "");
        refused("[]", "");
        refused("{", "");
        refused("{}", "contents");
        refused(r#"{"contents":[]}"#, "contents");
        refused(r#"{"contents":"x"}"#, "contents");
        refused(r#"{"contents":[7]}"#, "contents[0]");
        refused(r#"{"contents":[{"parts":7}]}"#, "contents[0].parts");
        refused(r#"{"contents":[{"role":"assistant","parts":[]}]}"#, "contents[0].role");
        refused(r#"{"contents":{"parts":[{"text":7}]}}"#, "contents.parts[0].text");
        let inline =
            r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":"!"}}]}]}"#;
        refused(inline, "contents[0].parts[0].inline_data.data");
        refused(
            r#"{"contents":[{"parts":[{"functionCall":{}}]}]}"#,
            "contents[0].parts[0].functionCall.name",
        );
        refused(r#"{"cachedContent":"c/1","contents":[]}"#, "cachedContent");
        refused(r#"{"generationConfig":{"temperature":"hot"}}"#, "generationConfig.temperature");
        refused(
            r#"{"generationConfig":{"responseModalities":["AUDIO"]}}"#,
            "generationConfig.responseModalities",
        );
        refused(
            r#"{"tools":[{"functionDeclarations":[{}]}]}"#,
            "tools[0].functionDeclarations[0].name",
        );
        refused(
            r#"{"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}}"#,
            "toolConfig.functionCallingConfig.mode",
        );
    }

    #[test]
    fn a_question_for_tokens_may_hold_a_whole_request() {
        let body = r#"{"generateContentRequest":{"model":"models/n","contents":{"parts":{"text":"x"}},"new":1}}"#;
        let request = decode(Ask { model: None, ..ask(body) }).unwrap();
        assert_eq!((&*request.model, request.turns.len()), ("n", 1));
        assert_eq!(request.dropped, ["generateContentRequest.new"]);
    }
}
