//! What Gemini refuses. Its names are compared in camelCase: it takes both spellings.

use base64::engine::general_purpose;
use serde_json::{Map, Value};

use super::{Sound, base64_with, each, fault, must, one_of, only, schema};
use crate::{
    Behaviour,
    provider::gemini::{SIGNATURE, is_third},
};

const TOP: &[&str] = &[
    "cachedContent",
    "contents",
    "generationConfig",
    "labels",
    "model",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
];

const CONFIG: &[&str] = &[
    "candidateCount",
    "enableEnhancedCivicAnswers",
    "frequencyPenalty",
    "imageConfig",
    "logprobs",
    "maxOutputTokens",
    "mediaResolution",
    "presencePenalty",
    "responseJsonSchema",
    "responseLogprobs",
    "responseMimeType",
    "responseModalities",
    "responseSchema",
    "seed",
    "speechConfig",
    "stopSequences",
    "temperature",
    "thinkingConfig",
    "topK",
    "topP",
];

const PART: &[&str] = &[
    "codeExecutionResult",
    "executableCode",
    "fileData",
    "functionCall",
    "functionResponse",
    "inlineData",
    "mediaResolution",
    "partMetadata",
    "text",
    "thought",
    "thoughtSignature",
    "videoMetadata",
];

/// A part holds exactly one of these.
const DATA: &[&str] = &[
    "codeExecutionResult",
    "executableCode",
    "fileData",
    "functionCall",
    "functionResponse",
    "inlineData",
    "text",
];

/// What stands in for a proof that a client has lost, as text and in base64.
const PLACEHOLDERS: &[&str] =
    &["skip_thought_signature_validator", "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="];

pub(in super::super) fn gemini(model: &str, body: &Value, behaviour: &Behaviour) -> Sound {
    let body = &camel(body);
    only(body, "body", TOP)?;
    config(model, &body["generationConfig"])?;
    tools(body)?;
    if !body["systemInstruction"].is_null() {
        only(&body["systemInstruction"], "systemInstruction", &["parts", "role"])?;
        parts(model, &body["systemInstruction"]["parts"], "systemInstruction")?;
    }
    contents(model, &body["contents"], behaviour)
}

/// A copy in which every name that Google knows is in camelCase. What people named themselves stays.
fn camel(value: &Value) -> Value {
    const OWN: &[&str] =
        &["args", "response", "properties", "parametersJsonSchema", "responseJsonSchema", "labels"];
    match value {
        Value::Array(all) => all.iter().map(camel).collect(),
        Value::Object(members) => {
            let renamed = members.iter().map(|(name, value)| {
                let mut words = name.split('_');
                let first = words.next().unwrap_or_default().to_owned();
                let name = words.fold(first, |name, word| {
                    let (start, rest) = word.split_at(word.len().min(1));
                    name + &start.to_ascii_uppercase() + rest
                });
                let value = if OWN.contains(&name.as_str()) { value.clone() } else { camel(value) };
                (name, value)
            });
            Value::Object(renamed.collect::<Map<_, _>>())
        }
        other => other.clone(),
    }
}

fn config(model: &str, config: &Value) -> Sound {
    if config.is_null() {
        return Ok(());
    }
    only(config, "generationConfig", CONFIG)?;
    let stops = config["stopSequences"].as_array().is_none_or(|all| all.len() <= 5);
    must(stops, "generationConfig.stopSequences", "at most 5")?;
    if is_third(model) {
        for name in ["presencePenalty", "frequencyPenalty"] {
            must(config[name].is_null(), name, "penalty is not enabled for this model")?;
        }
    }
    let by_schema = !config["responseSchema"].is_null() || !config["responseJsonSchema"].is_null();
    let json = config["responseMimeType"] == "application/json";
    must(json || !by_schema, "responseMimeType", "must be application/json with a schema")?;
    if !config["responseSchema"].is_null() {
        schema::gemini(&config["responseSchema"], "generationConfig.responseSchema")?;
    }
    // Both generations take any JSON schema here (Google, "Structured outputs"), but not beside the other.
    let one = config["responseSchema"].is_null() || config["responseJsonSchema"].is_null();
    must(one, "generationConfig", "only one of the two schemas may be set")?;
    let thinking = &config["thinkingConfig"];
    if thinking.is_null() {
        return Ok(());
    }
    only(thinking, "thinkingConfig", &["includeThoughts", "thinkingBudget", "thinkingLevel"])?;
    let (level, budget) = (&thinking["thinkingLevel"], &thinking["thinkingBudget"]);
    must(level.is_null() || budget.is_null(), "thinkingConfig", "either a level or a budget")?;
    if level.is_null() {
        return Ok(());
    }
    must(is_third(model), "thinkingLevel", "thinking level is not supported for this model")?;
    let level = Value::from(level.as_str().unwrap_or_default().to_ascii_lowercase());
    one_of(&level, "thinkingLevel", &["minimal", "low", "medium", "high"])
}

fn tools(body: &Value) -> Sound {
    if body["tools"].is_null() {
        return Ok(());
    }
    for (at, tool) in each(&body["tools"], "tools")? {
        const KNOWN: &[&str] = &[
            "codeExecution",
            "computerUse",
            "fileSearch",
            "functionDeclarations",
            "googleMaps",
            "googleSearch",
            "googleSearchRetrieval",
            "mcpServers",
            "urlContext",
        ];
        only(tool, &at, KNOWN)?;
        let none = Value::Array(vec![]);
        for (at, function) in each(tool.get("functionDeclarations").unwrap_or(&none), &at)? {
            declaration(function, &at)?;
        }
    }
    let calling = &body["toolConfig"]["functionCallingConfig"];
    if calling.is_null() {
        return Ok(());
    }
    const KNOWN: &[&str] = &["mode", "allowedFunctionNames", "streamFunctionCallArguments"];
    only(calling, "functionCallingConfig", KNOWN)?;
    one_of(&calling["mode"], "mode", &["AUTO", "ANY", "NONE", "VALIDATED"])?;
    let named = !calling["allowedFunctionNames"].is_null();
    let may = !named || calling["mode"] == "ANY" || calling["mode"] == "VALIDATED";
    must(may, "allowedFunctionNames", "should only be set when mode is ANY")
}

fn declaration(function: &Value, at: &str) -> Sound {
    const KNOWN: &[&str] = &[
        "behavior",
        "description",
        "name",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseJsonSchema",
    ];
    only(function, at, KNOWN)?;
    let name = function["name"].as_str().unwrap_or_default();
    let sound = name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.:".contains(c));
    must(sound, at, "invalid function name")?;
    let (own, plain) = (&function["parameters"], &function["parametersJsonSchema"]);
    must(own.is_null() || plain.is_null(), at, "only one of the two schemas may be set")?;
    if !own.is_null() {
        schema::gemini(own, &format!("{at}.parameters"))?;
    }
    // Both generations take any JSON schema here: the field belongs to the dialect, not to a model.
    match plain {
        Value::Null | Value::Object(_) => Ok(()),
        _ => fault(at, "parametersJsonSchema must be an object"),
    }
}

fn contents(model: &str, contents: &Value, behaviour: &Behaviour) -> Sound {
    let all = each(contents, "contents")?;
    must(!all.is_empty(), "contents", "contents is not specified")?;
    let answers = |content: &Value| {
        let parts = content["parts"].as_array().into_iter().flatten();
        parts.filter(|part| part["functionResponse"].is_object()).count()
    };
    let is_speech = |content: &Value| content["role"] != "model" && answers(content) == 0;
    let spoken = all.iter().rposition(|(_, content)| is_speech(content)).unwrap_or(0);
    let mut asked = 0;
    for (n, (at, content)) in all.iter().enumerate() {
        only(content, at, &["parts", "role"])?;
        let role = content["role"].as_str().unwrap_or("user");
        must(matches!(role, "user" | "model"), at, "please use a valid role: user, model")?;
        parts(model, &content["parts"], at)?;
        let found = content["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
        let answered = answers(content);
        must(
            answered == asked,
            at,
            "please ensure that the number of function response parts is equal to the number of function call parts of the function call turn",
        )?;
        must(answered == 0 || answered == found.len(), at, "function responses stand alone")?;
        let calls: Vec<&Value> =
            found.iter().filter(|part| part["functionCall"].is_object()).collect();
        asked = calls.len();
        must(asked == 0 || role == "model", at, "only a model calls functions")?;
        let turn = asked == 0 || n == 0 || all[n - 1].1["role"] != "model";
        must(
            turn,
            at,
            "please ensure that function call turn comes immediately after a user turn or after a function response turn",
        )?;
        if let Some(first) = calls.first().filter(|_| is_third(model) && n >= spoken) {
            signed(first, at, behaviour)?;
        }
    }
    must(asked == 0, "contents", "function calls without their responses")
}

fn signed(part: &Value, at: &str, behaviour: &Behaviour) -> Sound {
    let Some(signature) = part["thoughtSignature"].as_str() else {
        return fault(at, "function call is missing a thought_signature in functionCall parts");
    };
    let stands_in = !behaviour.sealed && PLACEHOLDERS.contains(&signature);
    must(signature == SIGNATURE || stands_in, at, "thought signature is not valid")
}

fn parts(model: &str, parts: &Value, at: &str) -> Sound {
    let all = each(parts, &format!("{at}.parts"))?;
    must(!all.is_empty(), at, "must include at least one parts field")?;
    for (at, part) in all {
        only(part, &at, PART)?;
        let held = DATA.iter().filter(|name| part.get(name).is_some()).count();
        must(held == 1, &at, "required oneof field 'data' must have one initialized field")?;
        let (call, response) = (&part["functionCall"], &part["functionResponse"]);
        if call.is_object() {
            only(call, &at, &["name", "args", "id"])?;
            must(call["args"].is_null() || call["args"].is_object(), &at, "args: not a Struct")?;
        }
        if response.is_object() {
            only(
                response,
                &at,
                &["name", "response", "id", "parts", "scheduling", "willContinue"],
            )?;
            let named = response["name"].as_str().is_some_and(|name| !name.is_empty());
            must(named, &at, "function_response.name: name cannot be empty")?;
            must(
                response["response"].is_object(),
                &at,
                "function_response.response: not a Struct",
            )?;
        }
        let plain = is_third(model) || response.get("parts").is_none();
        must(plain, &at, "multimodal function responses are not supported by this model")?;
        if part["inlineData"].is_object() {
            blob(&part["inlineData"], &at)?;
        }
        for (at, inner) in each(response.get("parts").unwrap_or(&Value::Array(vec![])), &at)? {
            blob(&inner["inlineData"], &at)?;
        }
        // Google's own SDK writes the URL-safe alphabet.
        let seal = &part["thoughtSignature"];
        let sound = seal.is_null() || is_base64(seal) || seal == PLACEHOLDERS[0];
        must(sound, &at, "thought_signature: base64 decoding failed")?;
    }
    Ok(())
}

fn blob(blob: &Value, at: &str) -> Sound {
    only(blob, at, &["mimeType", "data", "displayName"])?;
    let mime = blob["mimeType"].as_str().is_some_and(|mime| mime.contains('/'));
    must(mime, at, "unsupported MIME type")?;
    must(is_base64(&blob["data"]), at, "inline_data.data: base64 decoding failed")
}

fn is_base64(value: &Value) -> bool {
    base64_with(&general_purpose::STANDARD, value) || base64_with(&general_purpose::URL_SAFE, value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{refuses, strict};
    use super::*;

    fn good() -> Value {
        json!({
            "generation_config": {"thinkingConfig": {"thinking_level": "low"}},
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
            "contents": [
                {"parts": [{"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "-_8="}}]},
                {"role": "model", "parts": [
                    {"functionCall": {"name": "f", "args": {"snake_case": 1}, "id": "1"}, "thoughtSignature": SIGNATURE},
                ]},
                {"role": "user", "parts": [
                    {"function_response": {"name": "f", "response": {"output": "x"}, "id": "1"}},
                ]},
            ],
        })
    }

    #[test]
    fn what_gemini_refuses_is_refused() {
        let check = |body: &Value| gemini("gemini-3.8-flash", body, &strict());
        refuses(
            good(),
            check,
            &[
                ("/max_tokens", json!(1), "unknown parameter"),
                ("/generation_config/seedling", json!(1), "unknown parameter"),
                ("/generation_config/presencePenalty", json!(1), "not enabled"),
                ("/generation_config/responseJsonSchema", json!({}), "application/json"),
                (
                    "/generation_config",
                    json!({"responseMimeType": "application/json", "responseSchema": {"type": "STRING"}, "responseJsonSchema": {}}),
                    "only one",
                ),
                ("/generation_config/thinkingConfig/thinkingBudget", json!(1), "either"),
                ("/tools/0/functionDeclarations/0/name", json!("1"), "invalid function name"),
                (
                    "/tools/0/functionDeclarations/0/parameters/type",
                    json!(["OBJECT"]),
                    "not one of",
                ),
                ("/tools/0/functionDeclarations/0/parametersJsonSchema", json!({}), "only one"),
                ("/toolConfig", json!({"functionCallingConfig": {"mode": "auto"}}), "not one of"),
                ("/contents/0/role", json!("system"), "valid role"),
                ("/contents/0/parts", json!([]), "at least one"),
                ("/contents/0/parts/0", json!({"type": "text", "text": "hi"}), "unknown parameter"),
                ("/contents/0/parts/0", json!({}), "oneof"),
                ("/contents/1/parts/0/thoughtSignature", json!("eA=="), "not valid"),
                ("/contents/1/parts/0/thoughtSignature", Value::Null, "missing"),
                ("/contents/1/parts/0/functionCall/args", json!("{}"), "Struct"),
                ("/contents/2/parts/0/function_response/response", json!("x"), "Struct"),
                ("/contents/2/parts/0/function_response/name", json!(""), "empty"),
                ("/contents/2/parts", json!([{"text": "x"}]), "equal to the number"),
            ],
        );
    }

    #[test]
    fn the_second_generation_takes_less() {
        let body = json!({"contents": [{"parts": [{"text": "hi"}]}], "tools": [{"functionDeclarations": [{"name": "f"}]}], "generationConfig": {}});
        refuses(
            body,
            |body| gemini("gemini-2.5-flash", body, &strict()),
            &[
                (
                    "/generationConfig/thinkingConfig",
                    json!({"thinkingLevel": "low"}),
                    "not supported",
                ),
                (
                    "/tools/0/functionDeclarations/0/parametersJsonSchema",
                    json!("object"),
                    "must be an object",
                ),
                (
                    "/contents",
                    json!([{"parts": [{"functionResponse": {"name": "f", "response": {}, "parts": []}}]}]),
                    "not supported",
                ),
            ],
        );
    }

    #[test]
    fn a_placeholder_stands_in_unless_it_is_sealed() {
        let mut body = good();
        body["contents"][1]["parts"][0]["thoughtSignature"] = PLACEHOLDERS[1].into();
        let check = |how| gemini("gemini-3-flash", &body, &Behaviour::parse(how)).is_ok();
        assert!(check("strict") && !check("sealed"));
    }
}
