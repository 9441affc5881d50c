//! `generationConfig`: limits, sampling, form and thinking.

use std::borrow::Cow;

use super::{
    fields::{each, list, number, object, text, truth, whole, wrong},
    spelling,
};
use crate::{
    Failure, Value,
    chat::{Effort, Format, Request, Said, Schema, Thinking},
};

/// Values that depend on other fields.
#[derive(Debug, Default)]
pub(super) struct Config<'a> {
    mime: Option<(String, Cow<'a, str>)>,
    schema: Option<(String, Schema<'a>)>,
    logprobs: Option<String>,
    alternatives: u64,
    speech: Option<String>,
    only_text: bool,
}

impl<'a> Config<'a> {
    /// Decodes the configuration at `path` into `request`.
    pub(super) fn read(
        value: &Value<'a>,
        path: &str,
        request: &mut Request<'a>,
    ) -> Result<(), Failure> {
        let mut config = Config::default();
        for (name, path, value) in each(object(value, path)?, path) {
            config.field(&name, path, value, request)?;
        }
        config.finish(request)
    }

    fn field(
        &mut self,
        name: &str,
        path: String,
        value: &Value<'a>,
        request: &mut Request<'a>,
    ) -> Result<(), Failure> {
        let sampling = &mut request.sampling;
        let place = match name {
            "temperature" => &mut sampling.temperature,
            "topP" => &mut sampling.top_p,
            "topK" => &mut sampling.top_k,
            "seed" => &mut sampling.seed,
            "presencePenalty" => &mut sampling.presence_penalty,
            "frequencyPenalty" => &mut sampling.frequency_penalty,
            _ => return self.other(name, path, value, request),
        };
        *place = Some(Said::new(number(value, &path)?, path));
        Ok(())
    }

    fn other(
        &mut self,
        name: &str,
        path: String,
        value: &Value<'a>,
        request: &mut Request<'a>,
    ) -> Result<(), Failure> {
        match name {
            "maxOutputTokens" => {
                request.max_output = Some(Said::new(whole(value, &path)?, path));
            }
            "candidateCount" => request.candidates = Some(Said::new(whole(value, &path)?, path)),
            "stopSequences" => {
                let all: Result<Vec<_>, _> =
                    list(value).iter().map(|stop| text(stop, &path)).collect();
                request.stop = Some(Said::new(all?, path));
            }
            "responseLogprobs" => self.logprobs = truth(value, &path)?.then_some(path),
            "logprobs" => self.alternatives = whole(value, &path)?,
            "responseMimeType" => self.mime = Some((path.clone(), text(value, &path)?)),
            "responseJsonSchema" => self.schema = Some((path, Schema::from(value))),
            "responseSchema" if self.schema.is_none() => {
                object(value, &path)?;
                self.schema = Some((path, spelling::lower(value)));
            }
            "responseSchema" => {}
            "thinkingConfig" => thinking(value, path, request)?,
            "responseModalities" => {
                let only = |modality: &Value<'_>| {
                    modality.text().is_some_and(|name| name.eq_ignore_ascii_case("text"))
                };
                if !list(value).iter().all(only) {
                    return Err(Failure::unsayable(
                        &*path,
                        format!("`{path}`: only text can be answered by this model"),
                    ));
                }
                self.only_text = !list(value).is_empty();
            }
            "speechConfig" => self.speech = Some(path),
            // The resolution of media is a hint.
            "mediaResolution" => {}
            _ => request.dropped.push(path),
        }
        Ok(())
    }

    fn finish(self, request: &mut Request<'a>) -> Result<(), Failure> {
        if let Some(path) = self.speech.filter(|_| !self.only_text) {
            let message = format!("`{path}`: this model does not speak");
            return Err(Failure::unsayable(path, message));
        }
        if let Some(path) = self.logprobs {
            request.logprobs = Some(Said::new(self.alternatives, path));
        }
        let json = |mime: &str| mime.eq_ignore_ascii_case("application/json");
        request.format = match (self.mime, self.schema) {
            (Some((path, mime)), _) if !json(&mime) && &*mime != "text/plain" => {
                request.dropped.push(path);
                None
            }
            (Some((_, mime)), _) if &*mime == "text/plain" => None,
            (_, Some((path, schema))) => {
                let schema = schema.placed(path.clone());
                let format =
                    Format::JsonSchema { name: None, description: None, schema, strict: None };
                Some(Said::new(format, path))
            }
            (Some((path, _)), None) => Some(Said::new(Format::JsonObject, path)),
            (None, None) => None,
        };
        Ok(())
    }
}

fn thinking<'a>(value: &Value<'a>, path: String, request: &mut Request<'a>) -> Result<(), Failure> {
    let mut thinking = Thinking::default();
    for (name, path, value) in each(object(value, &path)?, &path) {
        match &*name {
            "thinkingLevel" => {
                let level = text(value, &path)?;
                thinking.effort = Effort::named(&level);
                if thinking.effort.is_none() && &*level != "THINKING_LEVEL_UNSPECIFIED" {
                    return Err(wrong(&path, "`MINIMAL`, `LOW`, `MEDIUM` or `HIGH`"));
                }
            }
            // A negative budget lets the model decide.
            "thinkingBudget" if number(value, &path)?.starts_with('-') => {}
            "thinkingBudget" => {
                let budget = whole(value, &path)?;
                thinking.budget = Some(budget);
                thinking.effort = thinking.effort.or(Some(Effort::of_budget(budget)));
            }
            "includeThoughts" => thinking.shown = truth(value, &path)?,
            _ => request.dropped.push(path),
        }
    }
    if thinking != Thinking::default() {
        request.thinking = Some(Said::new(thinking, path));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Request<'_> {
        let value = Value::of(config).unwrap();
        let mut request = Request::default();
        Config::read(&value, "generationConfig", &mut request).unwrap();
        request
    }

    fn check_thinking(config: &str, expected: Option<Thinking>) {
        let config = format!(r#"{{"thinkingConfig":{config}}}"#);
        assert_eq!(read(&config).thinking.map(|said| said.value), expected, "{config}");
    }

    #[test]
    fn thinking_is_brought_to_the_common_scale() {
        let of = |effort, budget, shown| Some(Thinking { effort, budget, shown });
        check_thinking(r#"{"thinkingLevel":"HIGH"}"#, of(Some(Effort::High), None, false));
        check_thinking(r#"{"thinking_level":"low"}"#, of(Some(Effort::Low), None, false));
        check_thinking(r#"{"thinkingBudget":0}"#, of(Some(Effort::None), Some(0), false));
        check_thinking(r#"{"thinkingBudget":-1,"include_thoughts":true}"#, of(None, None, true));
        check_thinking(r#"{"thinkingBudget":8191}"#, of(Some(Effort::Low), Some(8191), false));
        check_thinking("{}", None);
    }

    #[test]
    fn the_form_is_json_where_it_is_asked_for() {
        let schema = |config: &str| match read(config).format.map(|said| said.value) {
            Some(Format::JsonSchema { schema, .. }) => schema.raw().to_owned(),
            Some(Format::JsonObject) => "any".to_owned(),
            None => "none".to_owned(),
        };
        let json = r#""responseMimeType":"application/json""#;
        assert_eq!(schema(&format!("{{{json}}}")), "any");
        assert_eq!(schema(r#"{"responseMimeType":"text/plain"}"#), "none");
        assert_eq!(
            schema(&format!(r#"{{{json},"responseSchema":{{"type":"STRING"}}}}"#)),
            r#"{"type":"string"}"#
        );
        assert_eq!(
            schema(&format!(r#"{{{json},"response_json_schema":{{"a_b":1.0}}}}"#)),
            r#"{"a_b":1.0}"#
        );
        assert_eq!(
            read(r#"{"responseMimeType":"text/x.enum"}"#).dropped,
            ["generationConfig.responseMimeType"]
        );
    }

    #[test]
    fn numbers_keep_their_text_and_their_path() {
        let request = read(
            r#"{"topK":40.0,"temperature":0,"candidate_count":"2","responseLogprobs":true,"logprobs":3}"#,
        );
        assert_eq!(request.sampling.top_k, Some(Said::new("40.0", "generationConfig.topK")));
        assert_eq!(request.sampling.temperature.map(|said| said.value), Some("0"));
        assert_eq!(request.candidates, Some(Said::new(2, "generationConfig.candidate_count")));
        assert_eq!(request.logprobs, Some(Said::new(3, "generationConfig.responseLogprobs")));
        assert_eq!(read(r#"{"responseLogprobs":false}"#).logprobs, None);
    }
}
