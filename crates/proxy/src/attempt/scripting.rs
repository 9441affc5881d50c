//! What an upstream's header script says of one request: its headers are set and removed after the
//! upstream's own rules.

use std::borrow::Cow;

use domain::{
    HeaderRule, Upstream,
    live::{ScriptAsk, ScriptDone},
    policy::ScriptError,
};

use crate::{
    attempt::conversion::Wording, clock::Clock, gateway::script::Scripts, headers,
    http1::RequestHead, pool::balancer::Slot,
};

/// The rules for the headers of a request to `upstream`, its script's included; or why the call is
/// refused.
pub(crate) fn rules<'a>(
    (scripts, clock): (&Scripts, &Clock),
    client: &RequestHead,
    shown_key: &str,
    upstream: &'a Upstream,
    slot: Option<&Slot>,
    wording: Option<&Wording>,
) -> Result<Cow<'a, [HeaderRule]>, String> {
    let Some(script) = &upstream.policy.header_script else {
        return Ok(Cow::Borrowed(&upstream.header_rules));
    };
    let ask = ScriptAsk {
        method: wording.map_or(client.method(), |_| "POST").to_owned(),
        path: wording.map_or(client.path(), |wording| &wording.path).to_owned(),
        headers: seen(client, shown_key, upstream, wording),
        key_id: slot.map(|slot| slot.key.id.0),
        key_name: slot.map(|slot| slot.key.name.clone()),
        key_group: slot.and_then(|slot| slot.key.group.clone()),
        now_ms: clock.now_us() / 1000,
    };
    match scripts.run(script, &ask) {
        Ok(done) => Ok(Cow::Owned(merged(&upstream.header_rules, done))),
        Err(words) if script.on_error == ScriptError::Skip => {
            tracing::debug!(upstream.id = upstream.id.0, "a header script is skipped: {words}");
            Ok(Cow::Borrowed(&upstream.header_rules))
        }
        Err(words) => Err(words),
    }
}

/// The header lines as they would go out without the script, and without credentials.
fn seen(
    client: &RequestHead,
    shown_key: &str,
    upstream: &Upstream,
    wording: Option<&Wording>,
) -> Vec<(String, String)> {
    let (policy, rules) = (upstream.header_policy, &upstream.header_rules);
    let mut lines = Vec::new();
    match wording {
        Some(wording) => {
            headers::of_conversion(&mut lines, client, &wording.headers, policy, rules);
        }
        None => headers::to_provider(&mut lines, client, shown_key, policy, rules, false, false),
    }
    let text = String::from_utf8_lossy(&lines);
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

/// What a script says wins over the rules before it.
fn merged(rules: &[HeaderRule], done: ScriptDone) -> Vec<HeaderRule> {
    let set = done.set.into_iter().map(|(name, value)| HeaderRule { name, value: Some(value) });
    let removed = done.remove.into_iter().map(|name| HeaderRule { name, value: None });
    let said: Vec<HeaderRule> = removed.chain(set).collect();
    let kept = rules.iter().filter(|rule| said.iter().all(|other| other.name != rule.name));
    kept.cloned().chain(said.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_says_wins_over_the_rules_before_it() {
        let rule = |name: &str, value: Option<&str>| HeaderRule {
            name: name.to_owned(),
            value: value.map(str::to_owned),
        };
        let before = [rule("x-a", Some("1")), rule("x-b", Some("2")), rule("x-c", None)];
        let done =
            ScriptDone { set: vec![("x-a".into(), "script".into())], remove: vec!["x-b".into()] };
        let after = merged(&before, done);
        assert_eq!(after, [rule("x-c", None), rule("x-b", None), rule("x-a", Some("script"))]);
    }
}
