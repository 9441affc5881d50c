//! What rules may say, and on which calls they fire.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Provider;

fn rule(conditions: Condition) -> Rule {
    Rule {
        id: RuleId(1),
        owner: UserId(1),
        upstream: None,
        name: "quota used up".to_owned(),
        conditions,
        threshold: None,
        actions: vec![Action::DisableKey],
        auto_enable_delay: Some(Duration::from_secs(86_400)),
        cool_down: Duration::ZERO,
        priority: 0,
        stops: false,
        shadow: false,
        enabled: true,
        version: 1,
    }
}

fn compiled(conditions: &Value) -> Result<CompiledRule, String> {
    let read = Condition::read(conditions).map_err(|faults| faults.to_string())?;
    CompiledRule::compile(rule(read)).map_err(|faults| faults.to_string())
}

fn is(subject: &str, operator: &str, value: Value) -> Value {
    json!({"type": subject, "operator": operator, "value": value})
}

fn named(subject: &str, name: &str, operator: &str, value: Value) -> Value {
    json!({"type": subject, "name": name, "operator": operator, "value": value})
}

const BODY: &[u8] =
    br#"{"error":{"code":"insufficient_quota","n":3,"left":null,"list":["a","b"]}}"#;

/// The header lines of the answer.
#[derive(Debug)]
struct Lines;

impl HeaderLines for Lines {
    fn each(&self, name: &str, value: &mut dyn FnMut(&[u8])) {
        let lines: [(&str, &[u8]); 2] = [("X-Left", b"5"), ("server", b"Cloudflare")];
        let named = lines.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.for_each(|(_, line)| value(line));
    }
}

fn seen() -> Observation<'static> {
    Observation {
        status: Some(429),
        class: Some(ErrorClass::QuotaExhausted),
        headers: Some(&Lines),
        body: Some(BODY),
        event: None,
        latency: Some(Duration::from_millis(1500)),
    }
}

#[test]
fn the_conditions_of_the_api_are_understood() {
    let text = json!({"type": "status_code", "operator": "equals", "value": 429});
    assert!(compiled(&text).unwrap().judge(&seen()));
    let nested = json!({"all": [text, {"not": is("latency", "greater_than", json!(2000))}]});
    assert!(compiled(&nested).unwrap().judge(&seen()));
}

#[test]
fn every_operator_means_what_it_says() {
    for (test, holds) in [
        (is("status_code", "not_equals", json!(200)), true),
        (is("status_code", "in", json!([500, 429])), true),
        (is("status_code", "not_in", json!([500, 429])), false),
        (is("status_code", "greater_or_equal", json!(429)), true),
        (is("status_code", "greater_than", json!(429)), false),
        (is("error_class", "equals", json!("quota_exhausted")), true),
        (is("error_class", "not_in", json!(["auth"])), true),
        (is("latency", "less_than", json!(1500.5)), true),
        (is("latency", "less_or_equal", json!(1000)), false),
        (is("body_text", "contains", json!("insufficient_quota")), true),
        (is("body_text", "not_contains", json!("insufficient_quota")), false),
        (is("body_text", "starts_with", json!("{\"error\"")), true),
        (is("body_text", "ends_with", json!("}}")), true),
        (is("body_regex", "matches", json!("(?i)INSUFF.*quota")), true),
        (named("json_path", "$.error.code", "equals", json!("insufficient_quota")), true),
        (named("json_path", "$.error.n", "greater_than", json!(2)), true),
        (named("json_path", "$.error.n", "equals", json!(3.0)), true),
        (named("json_path", "$.error.left", "equals", json!(null)), true),
        (named("json_path", "$..list[*]", "in", json!(["b", "c"])), true),
        (named("json_path", "$..list[*]", "not_equals", json!("b")), false),
        (named("json_path", "$.error.code", "matches", json!("^insuf")), true),
        (named("json_path", "$.error.list[?@ == 'a']", "exists", json!(true)), true),
        (named("json_path", "$.nothing", "exists", json!(null)), false),
        (named("json_path", "$.nothing", "exists", json!(false)), true),
        (named("header", "x-left", "less_than", json!(6)), true),
        (named("header", "SERVER", "contains", json!("flare")), true),
        (named("header", "server", "not_contains", json!("flare")), false),
        (named("header", "x-none", "exists", json!(false)), true),
    ] {
        assert_eq!(compiled(&test).unwrap().judge(&seen()), holds, "{test}");
    }
}

#[test]
fn what_is_not_known_holds_as_little_as_its_opposite() {
    let nothing = Observation::default();
    let binary = Observation { body: Some(b"\xff\xfe"), status: Some(200), ..nothing };
    for test in [
        is("status_code", "not_equals", json!(200)),
        is("error_class", "not_equals", json!("auth")),
        is("latency", "greater_than", json!(0)),
        is("body_text", "not_contains", json!("x")),
        is("stream_event", "not_contains", json!("x")),
        named("json_path", "$.a", "not_equals", json!(1)),
        named("json_path", "$.a", "exists", json!(false)),
        named("header", "a", "not_equals", json!("1")),
        named("header", "a", "exists", json!(false)),
    ] {
        for conditions in [test.clone(), json!({"not": test})] {
            assert!(!compiled(&conditions).unwrap().judge(&nothing), "{conditions}");
        }
    }
    let path = named("json_path", "$.a", "exists", json!(false));
    assert!(!compiled(&path).unwrap().judge(&binary), "what is no JSON has no paths");
    assert!(compiled(&is("body_text", "not_contains", json!("x"))).unwrap().judge(&binary));
    // One branch that is known decides.
    let either = json!({"any": [path, is("status_code", "equals", json!(200))]});
    assert!(compiled(&either).unwrap().judge(&binary));
}

#[test]
fn a_rule_says_what_it_looks_at() {
    let wants = |test: &Value| {
        let rule = compiled(test).unwrap();
        (rule.wants_body(), rule.wants_events())
    };
    assert_eq!(wants(&is("status_code", "equals", json!(429))), (false, false));
    assert_eq!(wants(&json!({"not": is("body_text", "contains", json!("x"))})), (true, false));
    assert_eq!(wants(&named("json_path", "$.a", "exists", json!(true))), (true, false));
    assert_eq!(wants(&is("stream_event", "matches", json!("x"))), (false, true));
    let failures = compiled(&is("error_class", "equals", json!("auth"))).unwrap();
    assert!(!failures.may_fire(Some(200), None));
    assert!(failures.may_fire(None, Some(ErrorClass::Auth)));
    let either = json!({"any": [is("status_code", "equals", json!(429)), {"all": [
        is("status_code", "equals", json!(500)), is("error_class", "equals", json!("auth"))]}]});
    let either = compiled(&either).unwrap();
    assert!(either.may_fire(Some(429), None) && !either.may_fire(Some(200), None));
}

#[test]
fn what_can_never_match_is_refused_with_its_place() {
    let equals = |status: u16| is("status_code", "equals", json!(status));
    let deep = (0..8).fold(equals(429), |inner, _| json!({"not": inner}));
    let many: Vec<Value> = (0..65).map(|_| equals(429)).collect();
    for (conditions, place) in [
        (json!([equals(429)]), "conditions: "),
        (json!({"all": []}), "conditions.all: "),
        (json!({"any": [{"all": [equals(429), {"any": []}]}]}), "conditions.any[0].all[1].any: "),
        (json!({"all": equals(429)}), "conditions.all: "),
        (json!({"all": [equals(429)], "any": []}), "conditions.any: "),
        (deep, "conditions.not.not.not.not.not.not.not.not: "),
        (json!({ "any": many }), "conditions: "),
        (
            json!({"all": [equals(429), is("status_code", "in", json!([]))]}),
            "conditions.all[1].value: ",
        ),
        (equals(99), "conditions.value: "),
        (is("status_code", "equals", json!("429")), "conditions.value: "),
        (is("status_code", "greater_than", json!(599)), "conditions.value: "),
        (is("status_code", "less_than", json!(100)), "conditions.value: "),
        (is("status_code", "contains", json!(4)), "conditions.operator: "),
        (is("status_code", "is", json!(4)), "conditions.operator: "),
        (is("status", "equals", json!(4)), "conditions.type: "),
        (json!({"type": "status_code", "value": 429}), "conditions.operator: "),
        (json!({"type": "status_code", "operator": "equals", "vaule": 429}), "conditions.vaule: "),
        (named("status_code", "x", "equals", json!(429)), "conditions.name: "),
        (is("header", "equals", json!("x")), "conditions.name: "),
        (named("header", "a b", "equals", json!("x")), "conditions.name: "),
        (named("json_path", "error", "equals", json!("x")), "conditions.name: "),
        (named("json_path", "$..a..b..c", "equals", json!("x")), "conditions.name: "),
        (is("error_class", "equals", json!("tired")), "conditions.value: "),
        (is("error_class", "greater_than", json!("auth")), "conditions.operator: "),
        (is("latency", "less_than", json!(0)), "conditions.value: "),
        (is("latency", "equals", json!(1)), "conditions.operator: "),
        (is("latency", "greater_than", json!("1s")), "conditions.value: "),
        (is("body_text", "contains", json!("")), "conditions.value: "),
        (is("body_text", "greater_than", json!("1")), "conditions.operator: "),
        (is("body_text", "matches", json!("1")), "conditions.operator: "),
        (is("body_regex", "contains", json!("1")), "conditions.operator: "),
        (is("body_regex", "matches", json!("(")), "conditions.value: "),
        (is("body_regex", "matches", json!("(\\w{100}){100}")), "conditions.value: "),
        (json!({"all": [equals(429), equals(500)]}), "conditions: "),
        (json!({"any": [{"all": [equals(429), {"not": equals(429)}]}]}), "conditions.any[0]: "),
        (
            json!({"not": {"any": [equals(429), is("status_code", "not_equals", json!(429))]}}),
            "conditions: ",
        ),
        (
            json!({"all": [is("error_class", "equals", json!("auth")), is("error_class", "equals", json!("timeout"))]}),
            "conditions: ",
        ),
        (
            json!({"all": [is("latency", "greater_than", json!(9)), is("latency", "less_than", json!(5))]}),
            "conditions: ",
        ),
    ] {
        let fault = compiled(&conditions).expect_err(&conditions.to_string());
        assert!(fault.starts_with(place), "{conditions}: {fault}");
    }
}

#[test]
fn thresholds_delays_and_actions_that_make_no_sense_are_refused() {
    let faults = |change: fn(&mut Rule)| {
        let conditions = is("status_code", "equals", json!(429));
        let mut rule = rule(Condition::read(&conditions).unwrap());
        change(&mut rule);
        CompiledRule::compile(rule).err().map(|faults| faults.0[0].field.clone())
    };
    let minute = Some(Duration::from_secs(60));
    assert_eq!(faults(|_| {}), None);
    assert_eq!(faults(|rule| rule.name.clear()).as_deref(), Some("name"));
    assert_eq!(faults(|rule| rule.actions.clear()).as_deref(), Some("actions"));
    let twice = faults(|rule| rule.actions = vec![Action::Log, Action::Log]);
    assert_eq!(twice.as_deref(), Some("actions[1]"));
    let both = faults(|rule| rule.actions = vec![Action::BanKey, Action::CoolKey]);
    assert_eq!(both.as_deref(), Some("actions"));
    let short = faults(|rule| rule.auto_enable_delay = Some(Duration::from_secs(59)));
    assert_eq!(short.as_deref(), Some("auto_enable_delay_hours"));
    let long = faults(|rule| rule.cool_down = Duration::from_secs(31 * 86_400));
    assert_eq!(long.as_deref(), Some("cool_down"));
    for (count, last, window, place) in [
        (1, None, None, Some("threshold")),
        (1, Some(2), minute, Some("threshold")),
        (0, Some(2), None, Some("threshold.count")),
        (3, Some(2), None, Some("threshold.count")),
        (3, Some(0), None, Some("threshold.last")),
        (3, None, Some(Duration::ZERO), Some("threshold.window")),
        (2, Some(2), None, None),
        (1000, None, minute, None),
    ] {
        let conditions = is("status_code", "equals", json!(429));
        let mut rule = rule(Condition::read(&conditions).unwrap());
        rule.threshold = Some(Threshold { count, last, window, per: Per::Key });
        let fault = CompiledRule::compile(rule).err().map(|faults| faults.0[0].field.clone());
        assert_eq!(fault.as_deref(), place);
    }
}

#[test]
fn every_ready_made_rule_compiles_and_says_for_whom_it_is() {
    assert!(Rule::ready_made().len() >= 9);
    for ready in Rule::ready_made() {
        let rule = ready.rule(RuleId(1), UserId(1), None);
        CompiledRule::compile(rule).unwrap_or_else(|faults| panic!("{}: {faults}", ready.name));
        assert!(!ready.title.is_empty() && !ready.title.ends_with('.'), "{}", ready.name);
    }
    for provider in [Provider::Openai, Provider::Anthropic, Provider::Gemini] {
        assert!(Rule::ready_made().iter().any(|ready| ready.provider == Some(provider)));
    }
}

fn any_test() -> impl Strategy<Value = Condition> {
    let subjects = ["status_code", "body_text", "body_regex", "json_path", "header", "latency"];
    let subjects = prop::sample::select([&subjects[..], &["stream_event", "error_class"]].concat());
    let operators = prop::sample::select(vec![
        "equals",
        "not_equals",
        "in",
        "not_in",
        "greater_than",
        "less_or_equal",
        "contains",
        "not_contains",
        "starts_with",
        "matches",
        "exists",
    ]);
    let values = prop_oneof![
        Just(json!(429)),
        Just(json!([429, 500])),
        Just(json!("auth")),
        Just(json!(["auth", "timeout"])),
        Just(Value::Null),
        "[a-z{(.*+]{1,6}".prop_map(Value::from),
    ];
    (subjects, operators, values).prop_map(|(subject, operator, value)| {
        let name = match subject {
            "json_path" => Some("$..code"),
            "header" => Some("server"),
            _ => None,
        };
        let test = json!({"type": subject, "operator": operator, "value": value, "name": name});
        Condition::Is(serde_json::from_value(test).unwrap())
    })
}

fn any_condition() -> impl Strategy<Value = Condition> {
    any_test().prop_recursive(4, 24, 4, |inner| {
        let list = prop::collection::vec(inner.clone(), 0..4);
        prop_oneof![
            list.clone().prop_map(|all| Condition::All { all }),
            list.prop_map(|any| Condition::Any { any }),
            inner.prop_map(|not| Condition::Not { not: Box::new(not) }),
        ]
    })
}

#[test]
fn a_status_that_no_rule_can_name_is_another_one() {
    let listed = json!({"type": "status_code", "operator": "in", "value": [429, 500]});
    for (conditions, fires) in [
        (listed.clone(), false),
        (json!({"not": listed}), true),
        (json!({"type": "status_code", "operator": "not_equals", "value": 429}), true),
        (json!({"type": "status_code", "operator": "greater_or_equal", "value": 500}), true),
    ] {
        let compiled = CompiledRule::compile(rule(Condition::read(&conditions).unwrap())).unwrap();
        let seen = Observation { status: Some(600), ..Observation::default() };
        assert_eq!(compiled.judge(&seen), fires, "{conditions}");
    }
}

proptest! {
    #[test]
    fn conditions_are_the_same_after_they_were_written_and_read(conditions in any_condition()) {
        let written = serde_json::to_value(&conditions).unwrap();
        prop_assert_eq!(&Condition::read(&written).unwrap(), &conditions);
        prop_assert_eq!(&serde_json::from_value::<Condition>(written).unwrap(), &conditions);
        if let Ok(compiled) = CompiledRule::compile(rule(conditions.clone())) {
            prop_assert_eq!(compiled.rule.conditions, conditions);
        }
    }

    #[test]
    fn judging_never_panics_and_may_fire_is_never_too_strict(
        conditions in any_condition(),
        status in prop::option::of(0..1000_u16),
        class in prop::option::of(prop::sample::select(ErrorClass::ALL.to_vec())),
        body in prop::option::of(prop::collection::vec(any::<u8>(), 0..64)),
    ) {
        let Ok(compiled) = CompiledRule::compile(rule(conditions)) else { return Ok(()) };
        let seen = Observation { status, class, body: body.as_deref(), ..Observation::default() };
        let holds = compiled.node_holds(&Reading::of(seen));
        prop_assert_eq!(compiled.judge(&seen), holds);
        let json = Observation { body: Some(BODY), event: Some(b"auth"), ..seen };
        compiled.judge(&json);
    }
}
