//! Gemini: content, tokens, embeddings. Models are listed in `models.rs`.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Call, data, model, openai::vector, strict};
use crate::{
    ask::{self, Ask, Choice, Say, Step, Tool},
    http::Reply,
};

/// What proves that a call followed from its own thoughts.
pub(super) const SIGNATURE: &str = "bW9jaw==";

/// Whether a path belongs to Gemini by itself.
pub(super) fn is_path(path: &str) -> bool {
    path.starts_with("/v1beta/") || path.contains("/models/") && path.contains(':')
}

pub(super) fn reply(call: &Call<'_>) -> Result<Reply, Reply> {
    let unknown = || call.refuse(404, "not_found", "Requested entity was not found.");
    let (_, rest) = call.head.path().split_once("/models/").ok_or_else(unknown)?;
    let (name, verb) = rest.split_once(':').ok_or_else(unknown)?;
    let name = model(call, Some(name))?;
    let body = call.json()?;
    if verb == "generateContent" || verb == "streamGenerateContent" {
        call.checked(|| strict::gemini(&name, &body, call.behaviour))?;
    }
    match verb {
        "generateContent" => {
            let (say, ask) = say(call, &name, &body, false);
            let parts = parts(call, &ask, &say);
            Ok(Reply::json(200, &answer(call, &ask, parts, Some(&say))))
        }
        "streamGenerateContent" => {
            let (say, ask) = say(call, &name, &body, true);
            Ok(stream(call, &ask, &say))
        }
        "countTokens" => {
            let tokens = call.body.len() / 4 + 1;
            let details = json!([{"modality": "TEXT", "tokenCount": tokens}]);
            let answer = json!({"totalTokens": tokens, "promptTokensDetails": details});
            Ok(Reply::json(200, &answer))
        }
        "embedContent" => Ok(Reply::json(200, &json!({"embedding": embedding(&body)}))),
        "batchEmbedContents" => {
            let requests = body["requests"].as_array().into_iter().flatten();
            let embeddings: Vec<Value> = requests.map(embedding).collect();
            Ok(Reply::json(200, &json!({"embeddings": embeddings})))
        }
        _ => Err(unknown()),
    }
}

fn embedding(request: &Value) -> Value {
    let size = [&request["outputDimensionality"], &request["output_dimensionality"]];
    let size = size.into_iter().find_map(Value::as_u64).unwrap_or(8);
    json!({"values": vector(&request["content"].to_string(), size)})
}

fn say(call: &Call<'_>, model: &str, body: &Value, stream: bool) -> (Say, Ask) {
    let ask = read(call, model, body, stream);
    (ask::answer(&ask, call.behaviour), ask)
}

/// Both spellings of a member: Google's SDKs mix them.
pub(super) fn member<'a>(value: &'a Value, camel: &str, snake: &str) -> &'a Value {
    value.get(camel).unwrap_or(&value[snake])
}

fn read(call: &Call<'_>, model: &str, body: &Value, stream: bool) -> Ask {
    let config = member(body, "generationConfig", "generation_config");
    let contents = body["contents"].as_array().into_iter().flatten();
    let steps = contents.flat_map(|content| match &content["parts"] {
        _ if content["role"] == "model" => vec![Step::Model],
        Value::Array(parts) => steps(parts),
        part => steps(std::slice::from_ref(part)),
    });
    let tool_config = member(body, "toolConfig", "tool_config");
    let calling = member(tool_config, "functionCallingConfig", "function_calling_config");
    let allowed = member(calling, "allowedFunctionNames", "allowed_function_names");
    let schema = [
        member(config, "responseJsonSchema", "response_json_schema"),
        member(config, "responseSchema", "response_schema"),
    ];
    let json_wanted = member(config, "responseMimeType", "response_mime_type");
    let thinking = member(config, "thinkingConfig", "thinking_config");
    let thoughts = member(thinking, "includeThoughts", "include_thoughts") == true;
    let ask = Ask {
        model: model.to_owned(),
        tools: tools(body),
        choice: match (calling["mode"].as_str(), allowed[0].as_str()) {
            (Some("NONE"), _) => Choice::None,
            (_, Some(name)) => Choice::Named(name.to_owned()),
            _ => Choice::Auto,
        },
        schema: schema.into_iter().find(|schema| schema.is_object()).cloned().or_else(|| {
            let wanted = json_wanted == "application/json";
            wanted.then(|| json!({"properties": {"answer": {"type": "string"}}}))
        }),
        thinking: thinking.is_object()
            && *member(thinking, "thinkingBudget", "thinking_budget") != 0,
        thoughts,
        audio: body["contents"].to_string().contains("\"audio/"),
        stream,
        max_output: member(config, "maxOutputTokens", "max_output_tokens").as_u64(),
        bytes: call.body.len(),
        ..Ask::default()
    };
    ask.after(steps)
}

/// Results first: the texts of one content are what was said.
fn steps(parts: &[Value]) -> Vec<Step> {
    let results = parts
        .iter()
        .map(|part| member(part, "functionResponse", "function_response"))
        .filter(|response| response.is_object())
        .map(|response| Step::Result(response["response"].to_string()));
    let said: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    results.chain([Step::User(said.join(" "))]).collect()
}

fn tools(body: &Value) -> Vec<Tool> {
    let declared = body["tools"].as_array().into_iter().flatten().flat_map(|tool| {
        let all = member(tool, "functionDeclarations", "function_declarations");
        all.as_array().cloned().unwrap_or_default()
    });
    let read = |function: Value| Tool {
        name: function["name"].as_str().unwrap_or_default().to_owned(),
        schema: [
            member(&function, "parametersJsonSchema", "parameters_json_schema"),
            &function["parameters"],
        ]
        .into_iter()
        .find(|schema| schema.is_object())
        .cloned()
        .unwrap_or_default(),
        free_form: false,
    };
    declared.map(read).collect()
}

/// All parts of the answer, whole.
fn parts(call: &Call<'_>, ask: &Ask, say: &Say) -> Vec<Value> {
    let mut parts: Vec<Value> = thought(say).collect();
    if say.calls.is_empty() {
        parts.push(json!({"text": say.text()}));
    }
    parts.extend(calls(call, ask, say));
    parts
}

fn thought(say: &Say) -> impl Iterator<Item = Value> {
    let thought = say.thought.filter(|thought| !thought.is_empty());
    thought.map(|thought| json!({"text": thought, "thought": true})).into_iter()
}

/// Whether a model is of the generation whose calls have ids and signatures.
pub(super) fn is_third(model: &str) -> bool {
    model.starts_with("gemini-3")
}

/// A call is never cut: it is one part, in streams too. Only the first is signed.
fn calls(call: &Call<'_>, ask: &Ask, say: &Say) -> Vec<Value> {
    let one = |(index, tool): (usize, &ask::Call)| {
        let mut part = json!({"functionCall": {"name": tool.name, "args": tool.arguments}});
        if is_third(&ask.model) {
            part["functionCall"]["id"] = call.id(&format!("{index}-")).into();
            if index == 0 {
                part["thoughtSignature"] = SIGNATURE.into();
            }
        }
        part
    };
    say.calls.iter().enumerate().map(one).collect()
}

/// An answer with these parts; the last one of a stream also says how it ended.
fn answer(call: &Call<'_>, ask: &Ask, parts: Vec<Value>, last: Option<&Say>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(say) = last {
        candidate["finishReason"] = if say.cut { "MAX_TOKENS" } else { "STOP" }.into();
    }
    let mut answer = json!({"candidates": [candidate]});
    if !call.behaviour.no_usage {
        answer["usageMetadata"] = usage(ask, last);
    }
    answer["modelVersion"] = ask.model.as_str().into();
    answer["responseId"] = call.id("").into();
    answer
}

/// In a stream it is told with every piece; what came out is known only with the last.
fn usage(ask: &Ask, last: Option<&Say>) -> Value {
    let input = ask.bytes as u64 / 4 + 1;
    let Some(say) = last else {
        return json!({"promptTokenCount": input, "totalTokenCount": input});
    };
    let tokens = say.tokens;
    let mut details = vec![json!({"modality": "TEXT", "tokenCount": input - tokens.input_audio})];
    if tokens.input_audio > 0 {
        details.push(json!({"modality": "AUDIO", "tokenCount": tokens.input_audio}));
    }
    let mut usage = json!({
        "promptTokenCount": input,
        "candidatesTokenCount": tokens.output - tokens.reasoning,
        "totalTokenCount": input + tokens.output,
        "cachedContentTokenCount": tokens.cached,
        "promptTokensDetails": details,
    });
    if tokens.reasoning > 0 {
        usage["thoughtsTokenCount"] = tokens.reasoning.into();
    }
    usage
}

fn stream(call: &Call<'_>, ask: &Ask, say: &Say) -> Reply {
    let mut pieces: Vec<Value> = thought(say).collect();
    pieces.extend(say.words.iter().map(|word| json!({"text": word})));
    pieces.extend(calls(call, ask, say));
    if pieces.is_empty() {
        pieces.push(json!({"text": ""}));
    }
    let count = pieces.len();
    let answers: Vec<Value> = pieces
        .into_iter()
        .enumerate()
        .map(|(at, part)| answer(call, ask, vec![part], (at + 1 == count).then_some(say)))
        .collect();
    if call.head.query("alt") == Some("sse") {
        return Reply::pieces("text/event-stream", answers.iter().map(data).collect());
    }
    let piece = |(at, answer): (usize, &Value)| {
        let start = if at == 0 { "[" } else { ",\r\n" };
        let end = if at + 1 == count { "\r\n]" } else { "" };
        Bytes::from(format!("{start}{answer:#}{end}"))
    };
    Reply::pieces("application/json", answers.iter().enumerate().map(piece).collect())
}
