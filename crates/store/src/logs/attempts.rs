//! The column of a log entry's attempts. Most calls have one attempt, which repeats what the entry
//! says of the whole call: where it went, what it used and what it cost. Such an attempt is stored
//! without that; it would be a quarter of the row.

use domain::{
    ErrorClass, ProviderKeyId, RuleId, UpstreamId,
    log::{Attempt, LogEntry, Usage, UsageSource},
};
use serde::{Deserialize, Serialize};

use crate::json;

/// What an entry says of its only attempt.
#[derive(Debug, Default)]
pub(super) struct Repeated {
    pub(super) upstream: Option<(UpstreamId, String)>,
    pub(super) provider_key: Option<(ProviderKeyId, String)>,
    pub(super) provider_request_id: Option<String>,
    pub(super) usage: Usage,
    pub(super) usage_source: UsageSource,
    pub(super) cost_nano: Option<i64>,
}

/// What an entry does not say of its only attempt. An [`Attempt`] has members beside these that it
/// cannot do without, so neither is taken for the other.
#[derive(Debug, Serialize, Deserialize)]
struct Only {
    started_us: u64,
    duration_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    result: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    class: Option<ErrorClass>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rules: Vec<RuleId>,
}

/// An only attempt that was answered and fired no rule: its start, its duration and its status.
type Answered = (u64, u64, u16);
/// The result of such an attempt.
const ANSWERED: &str = "answered";

/// Writes the attempts of `entry`.
pub(super) fn write(entry: &LogEntry) -> String {
    match entry.attempts.as_slice() {
        [only] if repeats(entry, only) && plainly_answered(only) => {
            let (started, duration) = (only.started_us, only.duration_us);
            format!("[{started},{duration},{}]", only.status.unwrap_or_default())
        }
        [only] if repeats(entry, only) => json(&[Only {
            started_us: only.started_us,
            duration_us: only.duration_us,
            status: only.status,
            result: only.result.clone(),
            class: only.class,
            rules: only.rules.clone(),
        }]),
        attempts => json(&attempts),
    }
}

/// Reads attempts that [`write`] wrote; an only one gets back what its entry says of it.
pub(super) fn read(text: &str, entry: impl FnOnce() -> Repeated) -> Vec<Attempt> {
    if let Ok(attempts) = serde_json::from_str(text) {
        return attempts;
    }
    let only = match serde_json::from_str::<Answered>(text) {
        Ok((started_us, duration_us, status)) => Only {
            started_us,
            duration_us,
            status: Some(status),
            result: ANSWERED.to_owned(),
            class: None,
            rules: Vec::new(),
        },
        Err(_) => match serde_json::from_str::<[Only; 1]>(text) {
            Ok([only]) => only,
            Err(_) => return Vec::new(),
        },
    };
    let entry = entry();
    let Some((upstream, upstream_name)) = entry.upstream else { return Vec::new() };
    let (provider_key, provider_key_name) = entry.provider_key.unzip();
    vec![Attempt {
        upstream,
        upstream_name,
        provider_key,
        provider_key_name,
        started_us: only.started_us,
        duration_us: only.duration_us,
        status: only.status,
        result: only.result,
        class: only.class,
        rules: only.rules,
        provider_request_id: entry.provider_request_id,
        usage: entry.usage,
        usage_source: entry.usage_source,
        cost_nano: entry.cost_nano,
    }]
}

/// Whether there is no more to say of an attempt than when it was answered, and how.
fn plainly_answered(only: &Attempt) -> bool {
    only.status.is_some()
        && only.result == ANSWERED
        && only.class.is_none()
        && only.rules.is_empty()
}

/// Whether all that an attempt says of where it went and what it used stands in its entry as well, in
/// the same letters: texts with a NUL are stored otherwise than they came.
fn repeats(entry: &LogEntry, only: &Attempt) -> bool {
    let plain = |text: &Option<String>| text.as_ref().is_none_or(|text| !text.contains('\0'));
    entry.upstream == Some(only.upstream)
        && entry.upstream_name.as_deref() == Some(only.upstream_name.as_str())
        && entry.provider_key == only.provider_key
        && entry.provider_key_name == only.provider_key_name
        && only.provider_key.is_some() == only.provider_key_name.is_some()
        && entry.usage == only.usage
        && entry.usage_source == only.usage_source
        && entry.cost_nano == only.cost_nano
        && plain(&entry.upstream_name)
        && plain(&entry.provider_key_name)
        && plain(&only.provider_request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            upstream: UpstreamId(3),
            upstream_name: "up".to_owned(),
            provider_key: Some(ProviderKeyId(4)),
            provider_key_name: Some("key".to_owned()),
            started_us: 5,
            duration_us: 6,
            status: Some(200),
            result: "answered".to_owned(),
            class: None,
            rules: vec![RuleId(7)],
            provider_request_id: Some("req".to_owned()),
            usage: Usage { input: 8, ..Usage::default() },
            usage_source: UsageSource::Reported,
            cost_nano: Some(9),
        }
    }

    fn entry_of(attempts: Vec<Attempt>) -> LogEntry {
        let bare = r#"{"id":"019ad0a1-0000-7000-8000-000000000001","request_id":"r","started_us":1,
            "service_key":1,"service_key_name":"app","owner":1,"method":"POST","path":"/",
            "status":200,"outcome":"completed","bytes_in":1,"bytes_out":2,"latency_us":3,
            "streamed":false,"usage":{},"usage_source":"none"}"#;
        let mut entry: LogEntry = serde_json::from_str(bare).unwrap();
        let whole = attempt();
        entry.upstream = Some(whole.upstream);
        entry.upstream_name = Some(whole.upstream_name);
        entry.provider_key = whole.provider_key;
        entry.provider_key_name = whole.provider_key_name;
        entry.usage = whole.usage;
        entry.usage_source = whole.usage_source;
        entry.cost_nano = whole.cost_nano;
        entry.attempts = attempts;
        entry
    }

    fn said_by(entry: &LogEntry) -> Repeated {
        Repeated {
            upstream: entry.upstream.zip(entry.upstream_name.clone()),
            provider_key: entry.provider_key.zip(entry.provider_key_name.clone()),
            provider_request_id: entry.provider_request_id().map(str::to_owned),
            usage: entry.usage,
            usage_source: entry.usage_source,
            cost_nano: entry.cost_nano,
        }
    }

    #[test]
    fn attempts_come_back_as_they_were_and_an_only_one_is_stored_short() {
        let check = |attempts: Vec<Attempt>, short: bool| {
            let entry = entry_of(attempts);
            let text = write(&entry);
            assert_eq!(read(&text, || said_by(&entry)), entry.attempts, "{text}");
            assert_eq!(!entry.attempts.is_empty() && !text.contains("upstream"), short, "{text}");
        };
        check(vec![], false);
        check(vec![attempt()], true);
        check(vec![Attempt { rules: vec![], ..attempt() }], true);
        check(vec![attempt(), attempt()], false);
        check(vec![Attempt { provider_request_id: None, status: None, ..attempt() }], true);
        check(vec![Attempt { upstream: UpstreamId(1), ..attempt() }], false);
        check(vec![Attempt { provider_key: None, ..attempt() }], false);
        check(vec![Attempt { usage: Usage::default(), ..attempt() }], false);
        check(vec![Attempt { cost_nano: None, ..attempt() }], false);
        check(vec![Attempt { provider_request_id: Some("a\0".to_owned()), ..attempt() }], false);
    }

    #[test]
    fn attempts_that_earlier_versions_wrote_are_read() {
        let old = r#"[{"upstream":3,"upstream_name":"up","started_us":5,"duration_us":6,
            "result":"answered"}]"#;
        let read = read(old, || said_by(&entry_of(vec![])));
        assert_eq!((read.len(), read[0].provider_key), (1, None));
        assert!(read[0].usage.is_nothing());
    }
}
