//! Which key made a file, a batch or a response: what was made with the key of one account can be
//! used with that key alone. The ids are read off the answers as they pass, and looked for in the
//! paths and bodies of later calls. The latest of them are remembered; all are told, so that they
//! outlive the process and other instances hear of them.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use domain::{ProviderKeyId, UpstreamId};
use memchr::memmem;
use parking_lot::Mutex;

/// How ids of things begin that belong to an account: OpenAI's, Anthropic's, Gemini's.
const BEGINNINGS: [&str; 17] = [
    "asst_",
    "batch_",
    "batches/",
    "cachedContents/",
    "cntr_",
    "conv_",
    "eval_",
    "file-",
    "file_",
    "files/",
    "ftjob-",
    "msgbatch_",
    "resp_",
    "thread_",
    "upload_",
    "video_",
    "vs_",
];
/// What stands in the paths at which such things are made.
const MAKERS: [&str; 14] = [
    "assistants",
    "batches",
    "cachedContents",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "responses",
    "threads",
    "upload",
    "uploads",
    "vector_stores",
    "videos",
];
/// How the ids of what was made are called in answers.
const NAMES: [&[u8]; 2] = [b"\"id\"", b"\"name\""];
/// How the files are called in which a batch has its results.
const RESULTS: [&[u8]; 3] = [b"\"output_file_id\"", b"\"error_file_id\"", b"\"responsesFile\""];
/// So much of an answer is looked at.
const LOOK: usize = 8 << 10;
/// Longest id.
const ID_MAX: usize = 256;
/// Most ids that are looked up for one call.
const LOOKUPS_MAX: usize = 16;
/// Most that are remembered in each half; of too many the older half is forgotten.
const HALF: usize = ORIGINS_MAX / 2;
/// Most ids that are remembered.
pub(crate) const ORIGINS_MAX: usize = 100_000;

/// Who made something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Maker {
    pub(crate) upstream: UpstreamId,
    pub(crate) key: ProviderKeyId,
}

/// Who made what.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// Whether anything is remembered. Most gateways never see such an id.
    any: AtomicBool,
    halves: Mutex<[HashMap<Box<str>, Maker>; 2]>,
}

/// An answer in which an id may stand.
#[derive(Debug)]
pub(crate) struct Learning {
    maker: Maker,
    /// Whether something is made, or it is looked at what was made before.
    makes: bool,
    seen: Vec<u8>,
}

impl Learning {
    /// The answer to a call at `path`, where things are made there.
    pub(crate) fn of(method: &str, path: &str, maker: Maker) -> Option<Self> {
        let makes = method == "POST";
        let of_makers = || path.split('/').any(|part| MAKERS.contains(&part));
        let looks = (makes || method == "GET") && of_makers();
        looks.then(|| Self { maker, makes, seen: Vec::new() })
    }

    /// More of the answer; whether enough was seen. What it tells is `found`, perhaps again.
    pub(crate) fn see(&mut self, pieces: &[Bytes], found: impl Fn(&str, Maker)) -> bool {
        for piece in pieces {
            let room = (LOOK - self.seen.len()).min(piece.len());
            self.seen.extend_from_slice(&piece[..room]);
        }
        if self.makes {
            let id = told(&self.seen, &NAMES).next();
            id.inspect(|id| found(id, self.maker)).is_some() || self.seen.len() >= LOOK
        } else {
            told(&self.seen, &RESULTS).for_each(|id| found(id, self.maker));
            self.seen.len() >= LOOK
        }
    }
}

impl Origins {
    /// Remembers who made something; false where that was known.
    pub(crate) fn keep(&self, id: &str, maker: Maker) -> bool {
        let [young, old] = &mut *self.halves.lock();
        if young.get(id) == Some(&maker) {
            return false;
        }
        if young.len() >= HALF && !young.contains_key(id) {
            *old = std::mem::take(young);
        }
        young.insert(id.into(), maker);
        self.any.store(true, Ordering::Release);
        old.get(id) != Some(&maker)
    }

    /// Who made what a call names, in its path or its body.
    pub(crate) fn maker(&self, path: &str, body: &[u8]) -> Option<Maker> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let found = named(path.as_bytes(), b"/").chain(named(body, b"\""));
        let ids: Vec<&str> = found.take(LOOKUPS_MAX).collect();
        if ids.is_empty() {
            return None;
        }
        let halves = self.halves.lock();
        ids.iter().find_map(|id| halves.iter().find_map(|half| half.get(*id)).copied())
    }
}

/// The ids in a text that stand behind one of `before`.
fn named<'a>(text: &'a [u8], before: &'static [u8]) -> impl Iterator<Item = &'a str> {
    BEGINNINGS.iter().flat_map(move |beginning| {
        let places = memmem::find_iter(text, beginning.as_bytes());
        places.filter_map(move |at| {
            let stands = at.checked_sub(1).is_some_and(|at| before.contains(&text[at]));
            // A URL names a file of Gemini, too.
            let stands = stands || (at > 0 && text[at - 1] == b'/');
            stands.then(|| id_at(text, at)).flatten()
        })
    })
}

/// The ids that an answer tells under one of `names`.
fn told<'a>(text: &'a [u8], names: &[&'static [u8]]) -> impl Iterator<Item = &'a str> {
    let places = names
        .iter()
        .flat_map(move |name| memmem::find_iter(text, *name).map(move |at| at + name.len()));
    places.filter_map(move |after| {
        let rest = text[after..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"")?;
        let known = BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning.as_bytes()));
        // Half of an id is none: its end must be there.
        let end = memchr::memchr(b'"', rest).filter(|end| *end <= ID_MAX)?;
        known.then(|| std::str::from_utf8(&rest[..end]).ok()).flatten()
    })
}

fn id_at(text: &[u8], at: usize) -> Option<&str> {
    let rest = &text[at..];
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_/.".contains(byte);
    let end = rest.iter().position(|byte| !part(byte)).unwrap_or(rest.len()).min(ID_MAX);
    let id = std::str::from_utf8(&rest[..end]).ok()?;
    // What follows an id in a path is not part of it: `files/abc/content`.
    let slashes = usize::from(BEGINNINGS.iter().any(|b| b.ends_with('/') && id.starts_with(b)));
    let end = id.match_indices('/').nth(slashes).map_or(id.len(), |(at, _)| at);
    let id = &id[..end];
    Some(id.split_once(':').map_or(id, |(id, _)| id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(key: i64) -> Maker {
        Maker { upstream: UpstreamId(1), key: ProviderKeyId(key) }
    }

    fn learn(origins: &Origins, path: &str, pieces: &[&'static str], key: i64) {
        let Some(mut learning) = Learning::of("POST", path, maker(key)) else { return };
        for piece in pieces {
            learning.see(&[Bytes::from_static(piece.as_bytes())], |id, maker| {
                origins.keep(id, maker);
            });
        }
    }

    #[test]
    fn what_was_made_is_found_in_paths_and_bodies() {
        let origins = Origins::default();
        assert_eq!(origins.maker("/v1/files/file-abc", b""), None);
        learn(
            &origins,
            "/v1/files",
            &["{\"object\":\"file\",\"id\": \"file-", "abc\",\"bytes\":1}"],
            1,
        );
        learn(
            &origins,
            "/v1/responses",
            &["event: response.created\ndata: {\"response\":{\"id\":\"resp_9\"}}"],
            2,
        );
        learn(
            &origins,
            "/upload/v1beta/files",
            &["{\"file\":{\"name\":\"files/g1\",\"uri\":\"x\"}}"],
            3,
        );
        learn(
            &origins,
            "/v1/messages/batches",
            &["{\"id\":\"msgbatch_1\",\"type\":\"message_batch\"}"],
            4,
        );
        for (path, body, key) in [
            ("/v1/files/file-abc", "", Some(1)),
            ("/v1/files/file-abc/content", "", Some(1)),
            ("/v1/batches", r#"{"input_file_id":"file-abc"}"#, Some(1)),
            ("/v1/responses", r#"{"previous_response_id": "resp_9"}"#, Some(2)),
            ("/v1/responses/resp_9/cancel", "", Some(2)),
            ("/v1beta/files/g1", "", Some(3)),
            (
                "/v1beta/models/m:generateContent",
                r#"{"fileUri":"https://x.test/v1beta/files/g1"}"#,
                Some(3),
            ),
            ("/v1/messages/batches/msgbatch_1/results", "", Some(4)),
            ("/v1/files/file-other", "", None),
            ("/v1/chat/completions", r#"{"content":"my file-abc is lost"}"#, None),
        ] {
            assert_eq!(origins.maker(path, body.as_bytes()), key.map(maker), "{path} {body}");
        }
    }

    #[test]
    fn only_where_things_are_made_is_looked_for_ids() {
        let origins = Origins::default();
        learn(&origins, "/v1/chat/completions", &["{\"id\":\"file-abc\"}"], 1);
        assert_eq!(origins.maker("/v1/files/file-abc", b""), None);
        assert!(Learning::of("DELETE", "/v1/files/file-abc", maker(1)).is_none());
    }

    #[test]
    fn the_results_of_a_batch_are_found_where_it_is_looked_at() {
        let origins = Origins::default();
        let mut learning = Learning::of("GET", "/v1/batches/batch_1", maker(5)).unwrap();
        let batch = br#"{"id":"batch_1","input_file_id":"file-in","output_file_id":"file-out",
            "error_file_id":null,"metadata":{"note":"\"output_file_id\":\"file-lie\""}}"#;
        for piece in batch.chunks(40) {
            learning.see(&[Bytes::copy_from_slice(piece)], |id, maker| {
                origins.keep(id, maker);
            });
        }
        assert_eq!(origins.maker("/v1/files/file-out/content", b""), Some(maker(5)));
        assert_eq!(origins.maker("/v1/files/file-lie/content", b""), None, "a text tells nothing");
    }

    #[test]
    fn what_is_known_is_not_told_again() {
        let origins = Origins::default();
        assert!(origins.keep("file-1", maker(1)));
        assert!(!origins.keep("file-1", maker(1)));
        assert!(origins.keep("file-1", maker(2)), "it was found with another key");
    }

    #[test]
    fn memory_is_bounded() {
        let origins = Origins::default();
        for n in 0..3 * HALF {
            origins.keep(&format!("file-{n}"), maker(1));
        }
        assert!(origins.halves.lock().iter().map(HashMap::len).sum::<usize>() <= 2 * HALF);
        assert_eq!(origins.maker(&format!("/v1/files/file-{}", 3 * HALF - 1), b""), Some(maker(1)));
    }
}
