//! What scripts may do, and what they may not.

use super::*;

fn run(source: &str) -> Result<ScriptDone, String> {
    let ask = ScriptAsk {
        method: "POST".to_owned(),
        path: "/v1/chat/completions".to_owned(),
        headers: vec![("x-team".to_owned(), "blue".to_owned())],
        key_id: Some(7),
        key_name: Some("seven".to_owned()),
        key_group: None,
        now_ms: 1_700_000_000_123,
    };
    let on_error = Default::default();
    Scripts.run(&HeaderScript { source: source.to_owned(), on_error }, &ask)
}

fn set(fields: &[(&str, &str)]) -> ScriptDone {
    let set = fields.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    ScriptDone { set, remove: Vec::new() }
}

#[test]
fn what_is_only_promised_is_refused() {
    for source in [
        "async function headers() { return {'x-a': '1'} }",
        "function headers() { return Promise.resolve({'x-a': '1'}) }",
    ] {
        assert!(run(source).unwrap_err().contains("must not be async"), "{source}");
    }
}

#[test]
fn a_script_is_told_the_request_and_says_what_to_set_and_remove() {
    let plain = "function headers(r) { return {'X-A': r.method + r.path + r.headers['x-team'], \
                 'x-key': r.key.id + r.key.name + r.key.group, 'x-now': r.now} }";
    let whole = [
        ("x-a", "POST/v1/chat/completionsblue"),
        ("x-key", "7sevennull"),
        ("x-now", "1700000000123"),
    ];
    assert_eq!(run(plain).unwrap().set.len(), 3);
    assert_eq!(run(&plain.replace("r.key.group", "'null'")).unwrap(), set(&whole));
    let both = "const headers = 1; function f() {}";
    assert!(run(both).unwrap_err().contains("no function `headers"));
    let both = "function headers() { return {set: {'X-On': true}, remove: ['X-Off']} }";
    let done = ScriptDone { remove: vec!["x-off".to_owned()], ..set(&[("x-on", "true")]) };
    assert_eq!(run(both), Ok(done));
    assert_eq!(run("function headers() {}"), Ok(ScriptDone::default()));
}

#[test]
fn a_script_that_fails_says_why_and_in_which_line() {
    for (source, words) in [
        ("function headers(", "failed"),
        ("let x = 1", "no function `headers"),
        ("function headers(r) {\n  throw new Error('no luck')\n}", "line 2: no luck"),
        ("function headers() { throw 1 }", "no error"),
        ("function headers() { return 7 }", "must return an object"),
        ("function headers() { return [] }", "must return an object"),
        ("async function headers() { return {x: {}} }", ""),
        ("function headers() { return {a: {}} }", "must be a text"),
        ("function headers() { return {host: 'x'} }", "cannot be set"),
        ("function headers() { return {'Content-Length': 1} }", "cannot be set"),
        ("function headers() { return {a: 'x\\r\\ny: 1'} }", "control characters"),
        ("function headers() { return {'a b': 'x'} }", "header name"),
        ("function headers() { return {remove: ['te']} }", "cannot be set"),
        ("function headers() { return {get a() { throw 1 }} }", "cannot be read"),
        (
            "function headers() { const o = {}; for (let i = 0; i < 65; i++) o['x' + i] = 'y'; return o }",
            "more than 64",
        ),
    ] {
        match run(source) {
            Err(fault) => assert!(fault.contains(words), "{source}: {fault}"),
            Ok(done) => assert!(words.is_empty() && done.set.is_empty(), "{source}: {done:?}"),
        }
    }
}

#[test]
fn a_script_has_no_more_than_its_time_memory_and_stack_and_reaches_nothing() {
    for (source, words) in [
        ("function headers() { for (;;) {} }", "longer than 50 ms"),
        ("for (;;) {}", "longer than 50 ms"),
        ("function headers() { return {get a() { for (;;) {} }} }", "longer than 50 ms"),
        ("function headers() { try { for (;;) {} } catch (e) {} return {} }", "longer than"),
        (
            "function headers() { const a = []; for (;;) a.push('x'.repeat(1e5) + a.length) }",
            "memory",
        ),
        ("function headers() { return headers() + 1 }", "stack"),
        ("function headers() { return {a: /(a+)+$/.test('a'.repeat(40) + 'b')} }", ""),
        ("function headers() { return fetch('http://127.0.0.1') }", "fetch"),
        ("function headers() { return require('fs') }", "require"),
        ("function headers() { return std.open('/etc/passwd', 'r') }", "std"),
        ("import fs from 'fs'; function headers() {}", "failed"),
    ] {
        let before = Instant::now();
        let fault = run(source).unwrap_err();
        // On a busy machine any of them may be out of time first.
        let fits = fault.contains(words) || fault == too_long();
        assert!(fits, "{source}: {fault}");
        assert!(before.elapsed() < Duration::from_secs(5), "{source}");
    }
    assert!(run("function headers() { return {a: 'well'} }").is_ok());
}

#[test]
fn a_thread_keeps_few_scripts_and_none_that_failed() {
    for n in 0..2 * ENGINES_MAX {
        assert!(run(&format!("function headers() {{ return {{n: {n}}} }}")).is_ok());
    }
    assert_eq!(ENGINES.with_borrow(Vec::len), ENGINES_MAX);
    let flaky = "let n = 0; function headers() { if (n++) throw new Error('again'); return {n} }";
    assert_eq!(run(flaky), Ok(set(&[("n", "1")])));
    assert!(run(flaky).is_err());
    assert_eq!(run(flaky), Ok(set(&[("n", "1")])), "it was compiled anew");
}

#[test]
fn a_script_is_checked_when_it_is_saved() {
    assert_eq!(check_script("function headers() {}"), Ok(()));
    assert!(check_script("function headers() {").is_err());
    assert!(check_script("").is_err());
    assert!(check_script(&" ".repeat(HeaderScript::SOURCE_MAX + 1)).is_err());
}
