//! Decodes the parts of a candidate, whole or streamed.

use std::{borrow::Cow, collections::HashSet};

use super::base64::standard;
use crate::{
    Signature, Value, Vendor,
    chat::{Citation, Image, Logprob},
};

/// One part of an answer.
#[derive(Debug)]
pub(super) enum AnswerPart<'a> {
    /// Text or reasoning, which may be empty and only carry a signature.
    Text { text: Cow<'a, str>, thought: bool, signature: Option<Signature<'a>> },
    /// A function call.
    Call {
        id: Option<Cow<'a, str>>,
        name: Cow<'a, str>,
        args: &'a str,
        signature: Option<Signature<'a>>,
    },
    /// A generated image.
    Image(Image<'a>),
}

impl<'a> AnswerPart<'a> {
    /// Decodes a part; `None` for tools that Google runs itself, other media, and images that are
    /// part of the reasoning.
    pub(super) fn read(part: &Value<'a>) -> Option<AnswerPart<'a>> {
        let signature = part
            .any(&["thoughtSignature", "thought_signature"])
            .and_then(Value::cow)
            .filter(|proof| !proof.is_empty())
            .map(|proof| Signature::new(Vendor::Gemini, proof));
        if let Some(call) = part.any(&["functionCall", "function_call"]) {
            return Some(AnswerPart::Call {
                id: call.get("id").cow().filter(|id| !id.is_empty()),
                name: call.get("name").cow().filter(|name| !name.is_empty())?,
                args: call.find("args").map_or("", Value::raw),
                signature,
            });
        }
        let thought = part.get("thought").bool() == Some(true);
        if let Some(data) = part.any(&["inlineData", "inline_data"]).filter(|_| !thought) {
            return image(data).map(AnswerPart::Image);
        }
        let text = part.get("text").cow();
        if text.is_none() && signature.is_none() {
            return None;
        }
        Some(AnswerPart::Text { text: text.unwrap_or_default(), thought, signature })
    }
}

fn image<'a>(data: &Value<'a>) -> Option<Image<'a>> {
    let mime = data.any(&["mimeType", "mime_type"])?.cow()?;
    let data = standard(data.get("data").cow().filter(|data| !data.is_empty())?)?;
    mime.starts_with("image/").then_some(Image { mime, data })
}

/// The ids of the calls in one answer. They are unique; generated ids are unique across answers
/// too.
#[derive(Debug, Default)]
pub(super) struct Ids {
    seed: String,
    given: HashSet<String>,
    made: usize,
}

impl Ids {
    /// Creates the ids of an answer whose unique string is `unique`.
    pub(super) fn new(unique: &str) -> Self {
        Self { seed: unique.to_owned(), ..Self::default() }
    }

    /// Whether the id of the answer is still unknown.
    pub(super) fn is_bare(&self) -> bool {
        self.seed.is_empty()
    }

    /// Sets Google's id of the answer, which is used if nothing better is known.
    pub(super) fn answer(&mut self, id: Option<&str>) {
        if let Some(id) = id.filter(|_| self.seed.is_empty()) {
            let plain = id.chars().filter(char::is_ascii_alphanumeric);
            self.seed = plain.take(32).collect();
        }
    }

    /// Returns the id of the next call.
    pub(super) fn next<'a>(&mut self, given: Option<Cow<'a, str>>) -> Cow<'a, str> {
        if let Some(id) = given
            && self.given.insert(id.to_string())
        {
            return id;
        }
        self.made += 1;
        Cow::Owned(format!("call_{}_{}", self.seed, self.made))
    }
}

/// Decodes the citations of a candidate. Offsets are bytes of all the text before it.
pub(super) fn citations<'a>(candidate: &Value<'a>) -> Vec<(Citation<'a>, Option<(usize, usize)>)> {
    let mut all = Vec::new();
    let cited = candidate.any(&["citationMetadata", "citation_metadata"]);
    let sources = cited.and_then(|c| c.any(&["citationSources", "citation_sources", "citations"]));
    for source in sources.map(Value::items).unwrap_or_default() {
        let Some(url) = source.get("uri").cow().filter(|url| !url.is_empty()) else { continue };
        let title = source.get("title").cow();
        all.push((Citation { url, title, cited: None, span: None }, offsets(source)));
    }
    let grounding = candidate.any(&["groundingMetadata", "grounding_metadata"]);
    let Some(grounding) = grounding else { return all };
    let member = |names: &[&str]| grounding.any(names).map(Value::items).unwrap_or_default();
    let chunks = member(&["groundingChunks", "grounding_chunks"]);
    let source = |n: &Value<'_>| {
        let chunk = chunks.get(usize::try_from(n.u64()?).ok()?)?;
        let web = chunk.any(&["web", "retrievedContext", "maps"])?;
        Some((web.get("uri").cow().filter(|url| !url.is_empty())?, web.get("title").cow()))
    };
    for support in member(&["groundingSupports", "grounding_supports"]) {
        let segment = support.get("segment");
        let indices = support.any(&["groundingChunkIndices", "grounding_chunk_indices"]);
        for n in indices.map(Value::items).unwrap_or_default() {
            if let Some((url, title)) = source(n) {
                let cited = segment.get("text").cow();
                all.push((Citation { url, title, cited, span: None }, offsets(segment)));
            }
        }
    }
    all
}

fn offsets(value: &Value<'_>) -> Option<(usize, usize)> {
    let number = |names: &[&str]| usize::try_from(value.any(names)?.u64()?).ok();
    let start = number(&["startIndex", "start_index"]).unwrap_or(0);
    let end = number(&["endIndex", "end_index"])?;
    (start < end).then_some((start, end))
}

/// Decodes the log probabilities of a candidate.
pub(super) fn logprobs<'a>(candidate: &Value<'a>) -> Vec<Logprob<'a>> {
    let Some(result) = candidate.any(&["logprobsResult", "logprobs_result"]) else {
        return Vec::new();
    };
    let chosen = result.any(&["chosenCandidates", "chosen_candidates"]);
    let top = result.any(&["topCandidates", "top_candidates"]);
    let top = top.map(Value::items).unwrap_or_default();
    let chosen = chosen.map(Value::items).unwrap_or_default();
    let one = |value: &Value<'a>| {
        let number = value.any(&["logProbability", "log_probability"])?.number()?;
        Some((value.get("token").cow().unwrap_or_default(), Cow::Borrowed(number)))
    };
    let each = chosen.iter().enumerate().filter_map(|(n, value)| {
        let (token, logprob) = one(value)?;
        let others = top.get(n).map(|top| top.get("candidates").items()).unwrap_or_default();
        Some(Logprob { token, logprob, top: others.iter().filter_map(one).collect() })
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_calls_have_one_id() {
        let mut ids = Ids::new("");
        ids.answer(Some("mAk/I-ac"));
        ids.answer(Some("other"));
        let told: Vec<_> = [Some("a"), None, Some("a"), None]
            .into_iter()
            .map(|id| ids.next(id.map(Cow::Borrowed)))
            .collect();
        assert_eq!(told, ["a", "call_mAkIac_1", "call_mAkIac_2", "call_mAkIac_3"]);
        assert_eq!(Ids::new("u1").next(None), "call_u1_1");
    }

    #[test]
    fn only_sources_with_an_address_are_kept() {
        let candidate = Value::of(
            r#"{"citationMetadata":{"citationSources":[{"startIndex":1,"endIndex":4,"uri":"https://a"},{"license":"mit"}]},
                "groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://b","title":"B"}},{"web":{}}],
                "groundingSupports":[{"segment":{"endIndex":2,"text":"é"},"groundingChunkIndices":[0,1,7]}]}}"#,
        );
        let candidate = candidate.unwrap();
        let all = citations(&candidate);
        let told: Vec<_> = all.iter().map(|(c, at)| (&*c.url, c.title.as_deref(), *at)).collect();
        assert_eq!(
            told,
            [("https://a", None, Some((1, 4))), ("https://b", Some("B"), Some((0, 2)))]
        );
    }
}
