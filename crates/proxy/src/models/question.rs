//! Asks a provider for the models that it lists, with a key of the pool, when somebody wants the
//! list. Such a question costs nothing.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use domain::{Dialect, Upstream};
use pingora_timeout::timeout;
use serde::Deserialize;

use crate::{
    attempt::probe::{self, Answered},
    clock::Clock,
    gateway::Running,
    pool::line::Connector,
};

/// How long whoever wants the list waits for it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest list, most names in it, longest name and most pages.
const BODY_MAX: usize = 8 << 20;
const NAMES_MAX: usize = 10_000;
const NAME_MAX: usize = 256;
const PAGES_MAX: usize = 10;

/// The models that the provider of `running` lists; none where it does not say. They are asked for
/// where that was long ago.
pub(crate) async fn listed(
    with: (&Connector, &Clock),
    running: &Running,
) -> Option<Arc<BTreeSet<String>>> {
    let models = &running.models;
    if models.known().1 {
        let asked = timeout(PATIENCE, async {
            let _asking = models.asking.lock().await;
            // Another one may have asked meanwhile.
            if models.known().1 {
                let _ = ask(with, running).await;
            }
        });
        let _ = asked.await;
    }
    models.known().0
}

/// Asks the provider of `running` for its models now, or says why that did not work.
pub(crate) async fn ask(
    with: (&Connector, &Clock),
    running: &Running,
) -> Result<Arc<BTreeSet<String>>, String> {
    let asked = timeout(PATIENCE, pages(with, running)).await;
    let asked = asked.unwrap_or_else(|_| Err("the provider did not answer in time".to_owned()));
    let asked = asked.map(Arc::new).inspect_err(|words| {
        let upstream = &running.entry.upstream;
        tracing::debug!(upstream.id = upstream.id.0, "its models are not known: {words}");
    });
    running.models.heard(asked.as_ref().map_err(String::as_str));
    asked
}

async fn pages(
    (connector, clock): (&Connector, &Clock),
    running: &Running,
) -> Result<BTreeSet<String>, String> {
    let upstream = &running.entry.upstream;
    let slot = running.pool.any(clock.now_us());
    let (mut names, mut after) = (BTreeSet::new(), None::<String>);
    for _ in 0..PAGES_MAX {
        let path = path(upstream, after.as_deref());
        let Answered { status, body, .. } =
            probe::get(connector, running, slot.as_deref(), &path, BODY_MAX).await?;
        if !(200..300).contains(&status) {
            return Err(format!("the provider answered {status}"));
        }
        let list: List = serde_json::from_slice(&body)
            .map_err(|_| "the provider's list of models cannot be read".to_owned())?;
        after = list.read(&mut names);
        if after.is_none() || names.len() >= NAMES_MAX {
            break;
        }
    }
    Ok(names)
}

/// Where the list is, and how to get the page after the last one.
fn path(upstream: &Upstream, after: Option<&str>) -> String {
    let has = |dialect| upstream.dialects.contains(&dialect);
    let escaped = |after: &str| crate::headers::percent_encode(after);
    // Whoever speaks OpenAI's dialect as well lists all of its models there.
    match (has(Dialect::OpenaiChat) || has(Dialect::OpenaiResponses), after) {
        (true, _) => "/v1/models".to_owned(),
        (false, None) if has(Dialect::Gemini) => "/v1beta/models?pageSize=1000".to_owned(),
        (false, Some(after)) if has(Dialect::Gemini) => {
            format!("/v1beta/models?pageSize=1000&pageToken={}", escaped(after))
        }
        (false, None) => "/v1/models?limit=1000".to_owned(),
        (false, Some(after)) => format!("/v1/models?limit=1000&after_id={}", escaped(after)),
    }
}

/// A list of models as a provider writes it, whichever it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    /// OpenAI, Anthropic and whoever follows them.
    data: Vec<Named>,
    has_more: bool,
    last_id: Option<String>,
    /// Gemini.
    models: Vec<Named>,
    #[serde(rename = "nextPageToken")]
    next: Option<String>,
}

/// A model; what else is said of it is not read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    id: Option<String>,
    name: Option<String>,
}

impl List {
    /// Takes the names, and says behind what the next page begins, where there is one.
    fn read(self, names: &mut BTreeSet<String>) -> Option<String> {
        let (data, models) = (self.data.into_iter(), self.models.into_iter());
        let ids = data.filter_map(|model| model.id).chain(models.filter_map(|model| model.name));
        for id in ids {
            let id = id.strip_prefix("models/").unwrap_or(&id);
            let sane = !id.is_empty() && id.len() <= NAME_MAX && !id.chars().any(char::is_control);
            if sane && names.len() < NAMES_MAX {
                names.insert(id.to_owned());
            }
        }
        let next = self.next.filter(|next| !next.is_empty());
        next.or_else(|| self.last_id.filter(|last| self.has_more && !last.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use domain::{BaseUrl, UpstreamId, UserId};

    use super::*;

    #[test]
    fn lists_are_read_as_each_provider_writes_them() {
        let check = |text: &str, expected: &[&str], next: Option<&str>| {
            let mut names = BTreeSet::new();
            let list: List = serde_json::from_str(text).unwrap();
            assert_eq!(list.read(&mut names).as_deref(), next, "{text}");
            assert!(names.iter().eq(expected), "{names:?}");
        };
        check(
            r#"{"object":"list","data":[{"id":"b"},{"id":"a","owned_by":"x"}]}"#,
            &["a", "b"],
            None,
        );
        let anthropic = r#"{"data":[{"type":"model","id":"c"}],"has_more":true,"last_id":"c"}"#;
        check(anthropic, &["c"], Some("c"));
        let gemini = r#"{"models":[{"name":"models/g","displayName":"G"}],"nextPageToken":"t"}"#;
        check(gemini, &["g"], Some("t"));
        check(r#"{"data":[{"id":""},{"id":"a\nb"},{}],"has_more":false,"last_id":"z"}"#, &[], None);
        check("{}", &[], None);
    }

    #[test]
    fn each_dialect_has_its_own_path_and_pages() {
        let check = |dialects: &[Dialect], after: Option<&str>, expected: &str| {
            let base = BaseUrl::parse("https://provider.test").unwrap();
            let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "up", base);
            upstream.dialects = dialects.to_vec();
            assert_eq!(path(&upstream, after), expected);
        };
        check(&[Dialect::OpenaiChat, Dialect::Gemini], None, "/v1/models");
        check(&[Dialect::AnthropicMessages], None, "/v1/models?limit=1000");
        check(&[Dialect::AnthropicMessages], Some("a b"), "/v1/models?limit=1000&after_id=a%20b");
        check(&[Dialect::Gemini], Some("t"), "/v1beta/models?pageSize=1000&pageToken=t");
    }
}
