//! What the demo tells: tables that a person enjoys reading. Made from what the API answered.

use std::{collections::BTreeMap, fmt::Write, time::Duration};

use serde_json::Value;

use super::{calls::Served, house::House};

/// The head.
pub(super) fn title(house: &House) -> String {
    format!(
        "\nTollgate, from end to end\n\n  the gateway              {}\n  the management plane     {}\n  \
         simulated providers      {}\n",
        house.gateway, house.management, house.providers
    )
}

/// A step that was taken.
pub(super) fn step(what: &str, detail: &str, took: Duration) -> String {
    format!("  {what:<8} {detail}  ({:.1} s)", took.as_secs_f64())
}

/// What the client saw.
pub(super) fn summary(served: &[Served]) -> String {
    let good = served.iter().filter(|served| served.status == 200).count();
    let first: Vec<f64> = served.iter().map(|s| s.first_byte.as_secs_f64() * 1e3).collect();
    format!(
        "{} calls in 3 dialects, {good} answered; first byte p50 {:.0} ms",
        served.len(),
        percentile(first, 50)
    )
}

/// The big pool: each key's share, and who was rested and why.
pub(super) fn pool(entries: &[Value], keys: &[Value]) -> String {
    let mut tries: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let attempts = entries.iter().filter(|e| e["upstream"] == "openai");
    for attempt in attempts.filter_map(|e| e["attempts"].as_array()).flatten() {
        let key = attempt["provider_key"].as_str().unwrap_or_default();
        let (all, answered) = tries.entry(key).or_default();
        *all += 1;
        *answered += u64::from(attempt["result"] == "answered");
    }
    let answered: u64 = tries.values().map(|(_, answered)| answered).sum();
    let upstream = keys.first().map(|key| &key["upstream_id"]);
    let mut rows = Vec::new();
    for key in keys.iter().filter(|key| upstream.is_some_and(|id| key["upstream_id"] == *id)) {
        let name = key["name"].as_str().unwrap_or_default();
        let (all, good) = tries.get(name).copied().unwrap_or_default();
        let share = (good * 100).checked_div(answered).unwrap_or_default();
        let bar = "█".repeat((share as usize * 2).div_ceil(3).min(20));
        rows.push([
            name.to_owned(),
            all.to_string(),
            good.to_string(),
            format!("{share:>3} % {bar}"),
            state(key),
        ]);
    }
    let head = ["key", "tries", "answered", "share", "now"];
    format!("\nThe key pool of `openai`, round robin\n\n{}", table(head, &rows))
}

fn state(key: &Value) -> String {
    let state = key["state"].as_str().unwrap_or_default();
    match (state, key["reason"].as_str(), key["until"].as_str()) {
        ("active", ..) => "in use".into(),
        ("cooling" | "disabled_auto" | "exhausted", Some(reason), Some(until)) => {
            let why = match reason {
                "rate_limited" => "the provider said: too many (429)",
                "auth" => "the provider refused the key (401)",
                "server_fault" => "the provider kept failing (500)",
                other => other,
            };
            let time = until.get(11..19).unwrap_or(until);
            format!("rests until {time} UTC: {why}")
        }
        (other, ..) => other.replace('_', " "),
    }
}

/// Each dialect: calls, tokens, latency.
pub(super) fn dialects(entries: &[Value]) -> String {
    let mut by_dialect: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for entry in entries {
        by_dialect.entry(entry["dialect"].as_str().unwrap_or("none")).or_default().push(entry);
    }
    let rows: Vec<_> = by_dialect
        .iter()
        .map(|(dialect, entries)| {
            let streams = entries.iter().filter(|e| e["streamed"] == true).count();
            let tokens = |side: &str| -> u64 {
                entries.iter().filter_map(|e| e["usage"][side].as_u64()).sum()
            };
            let times = |field: &str| entries.iter().filter_map(|e| e[field].as_f64()).collect();
            [
                (*dialect).to_owned(),
                entries.len().to_string(),
                streams.to_string(),
                tokens("input").to_string(),
                tokens("output").to_string(),
                format!("{:.1} ms", percentile(times("first_byte_ms"), 50)),
                format!("{:.1} ms", percentile(times("latency_ms"), 50)),
                format!("{:.1} ms", percentile(times("latency_ms"), 99)),
            ]
        })
        .collect();
    let head =
        ["dialect", "calls", "streams", "tokens in", "tokens out", "first byte p50", "p50", "p99"];
    format!("\nWhat went through\n\n{}", table(head, &rows))
}

/// What was tried again, and why; the caller noticed none of it.
pub(super) fn failovers(entries: &[Value]) -> String {
    let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
    for attempt in entries.iter().filter_map(|e| e["attempts"].as_array()).flatten() {
        match attempt["result"].as_str() {
            Some("answered") | None => {}
            Some(reason) => *reasons.entry(reason).or_default() += 1,
        }
    }
    let told = reasons.iter().map(|(reason, times)| format!("{times} × {reason}"));
    let told: Vec<String> = told.collect();
    match told.as_slice() {
        [] => "\nNothing had to be tried again.".into(),
        told => {
            format!("\nTried again with another key, unseen by the caller: {}", told.join(", "))
        }
    }
}

/// The account: every call has one log entry.
pub(super) fn ledger(served: &[Served], entries: &[Value]) -> String {
    format!("Accounted for: {} calls made, {} log entries.\n", served.len(), entries.len())
}

/// How to go on, and how to end it.
pub(super) fn kept(house: &House, key: &str) -> String {
    let pids: Vec<String> = house.pids().iter().map(u32::to_string).collect();
    format!(
        "Both are left running.\n\n  \
         curl {}/v1/chat/completions -H 'authorization: Bearer {key}' \\\n    \
         -d '{{\"model\":\"openai/gpt-4o-mini\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\n  \
         management   {}   user admin, password in {}\n  \
         to end it    kill {} && rm -r {}",
        house.gateway,
        house.management,
        house.path().join("password").display(),
        pids.join(" "),
        house.path().display(),
    )
}

fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get(last * percent / 100).copied().unwrap_or_default()
}

/// A table with as much room as each column needs; numbers to the right.
fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let width = |i: usize| {
        let cells = rows.iter().map(|row| row[i].chars().count());
        cells.chain([head[i].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let number = |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit()) && !cell.contains('%');
    let mut text = String::new();
    let mut line = |cells: [&str; N], right: [bool; N]| {
        text.push_str("  ");
        for ((cell, width), right) in cells.iter().zip(&widths).zip(right) {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let _ =
                if right { write!(text, "{pad}{cell}  ") } else { write!(text, "{cell}{pad}  ") };
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    };
    let right: [bool; N] = std::array::from_fn(|i| rows.first().is_some_and(|row| number(&row[i])));
    line(head, right);
    let rule: [String; N] = std::array::from_fn(|i| "─".repeat(widths[i]));
    line(rule.each_ref().map(String::as_str), right);
    for row in rows {
        line(row.each_ref().map(String::as_str), right);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entries() -> Vec<Value> {
        let attempt = |key: &str, result: &str| json!({"provider_key": key, "result": result});
        let entry = |attempts: Vec<Value>, streamed: bool| {
            json!({"upstream": "openai", "dialect": "openai_chat", "streamed": streamed,
                "attempts": attempts, "usage": {"input": 10, "output": 5},
                "first_byte_ms": 2.0, "latency_ms": 4.0})
        };
        vec![
            entry(vec![attempt("a", "answered")], false),
            entry(vec![attempt("b", "rate_limited"), attempt("a", "answered")], true),
        ]
    }

    #[test]
    fn the_tables_say_what_happened() {
        let keys = [
            json!({"upstream_id": 1, "name": "a", "state": "active"}),
            json!({"upstream_id": 1, "name": "b", "state": "cooling", "reason": "rate_limited",
                "until": "2026-01-02T03:04:05Z"}),
            json!({"upstream_id": 2, "name": "c", "state": "active"}),
        ];
        let told = pool(&entries(), &keys) + &dialects(&entries()) + &failovers(&entries());
        insta::assert_snapshot!(told);
    }

    #[test]
    fn a_percentile_of_nothing_is_nothing() {
        assert_eq!(percentile(Vec::new(), 99), 0.0);
        assert_eq!(percentile((1..=100).map(f64::from).collect(), 50), 50.0);
    }
}
