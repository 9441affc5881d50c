//! Upstreams, and the rules of every change.

use std::time::Duration;

use auth::{Actor, Role};
use domain::{
    Dialect, Faults, HeaderPolicy, HeaderRule, KeyPlacement, ModelProfile, PathStyle, PoolPolicy,
    ProfileRule, Provider, QueryField, Revision, Strategy, ThinkingForm, Timeouts, UpstreamId,
    UserId,
};
use rstest::rstest;
use store::{NewUpstream, StoreError, UpstreamEdit};

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin};

fn named(name: &str, base_url: &str) -> NewUpstream {
    NewUpstream { name: name.into(), base_url: Some(base_url.into()), ..NewUpstream::default() }
}

/// The fields that a refused change names.
pub(crate) fn fields<T: std::fmt::Debug>(refused: Result<T, StoreError>) -> Vec<String> {
    match refused {
        Err(StoreError::Unservable(Faults(faults))) => {
            faults.into_iter().map(|fault| fault.field).collect()
        }
        other => panic!("was not refused for its fields: {other:?}"),
    }
}

/// A rule that says how models think.
fn thinker(pattern: &str) -> ProfileRule {
    let profile = ModelProfile { thinking: Some(ThinkingForm::Level), ..ModelProfile::default() };
    ProfileRule { pattern: pattern.into(), profile }
}

#[rstest]
#[tokio::test]
async fn what_is_not_said_follows_from_the_provider(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let new = named("claude", "https://api.anthropic.com/");

    let id = store.create_upstream(&admin(), new).await.unwrap();

    let row = store.upstream(id).await.unwrap();
    assert_eq!(id, UpstreamId(1));
    assert_eq!(row.upstream.provider, Provider::Anthropic);
    assert_eq!(row.upstream.dialects, [Dialect::AnthropicMessages]);
    assert_eq!(row.upstream.key_placement.to_string(), "header:x-api-key");
    assert_eq!(row.upstream.base_url.as_str(), "https://api.anthropic.com");
    assert_eq!(row.keys, 0);
    assert_eq!(row.created_at, row.updated_at);
}

#[rstest]
#[tokio::test]
async fn everything_that_is_said_is_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let owner = store.add_user("lin", Role::Operator).await;
    let new = NewUpstream {
        name: "own".into(),
        base_url: Some("http://127.0.0.1:9000/prefix".into()),
        preset: None,
        provider: Some(Provider::Gemini),
        dialects: Some(vec![Dialect::Gemini, Dialect::OpenaiChat]),
        models: vec!["a".into(), "b".into()],
        enabled: Some(false),
        strategy: Some(Strategy::Weighted),
        retry_count: Some(7),
        timeouts: Some(Timeouts { connect: Duration::from_millis(1500), ..Timeouts::default() }),
        key_placement: Some(KeyPlacement::Query("key".into())),
        header_policy: Some(HeaderPolicy::Strict),
        header_rules: Some(vec![HeaderRule { name: "x-team".into(), value: Some("ü".into()) }]),
        record_bodies: true,
        paths: Some(PathStyle::AsBase),
        query: Some(vec![QueryField { name: "api-version".into(), value: "2024-10-21".into() }]),
        model_profiles: vec![thinker("m*")],
        ask_usage: Some(false),
        policy: Some(PoolPolicy { max_in_flight: Some(9), ..PoolPolicy::default() }),
        owner: Some(owner),
    };

    let id = store.create_upstream(&admin(), new.clone()).await.unwrap();

    let upstream = store.upstream(id).await.unwrap().upstream;
    assert_eq!(upstream.owner, owner);
    assert_eq!(Some(upstream.policy), new.policy);
    assert_eq!(Some(upstream.dialects), new.dialects);
    assert_eq!(upstream.models, new.models);
    assert_eq!(Some(upstream.enabled), new.enabled);
    assert_eq!(Some(upstream.strategy), new.strategy);
    assert_eq!(Some(upstream.retry_count), new.retry_count);
    assert_eq!(Some(upstream.timeouts), new.timeouts);
    assert_eq!(Some(upstream.key_placement), new.key_placement);
    assert_eq!(Some(upstream.header_policy), new.header_policy);
    assert_eq!(Some(upstream.header_rules), new.header_rules);
    assert!(upstream.record_bodies);
    assert_eq!((Some(upstream.paths), Some(upstream.query)), (new.paths, new.query));
    assert_eq!(upstream.model_profiles, new.model_profiles);
    assert!(!upstream.ask_usage);
}

#[rstest]
#[tokio::test]
async fn a_preset_says_what_the_rest_does_not(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let new = |name: &str, preset: &str| NewUpstream {
        name: name.into(),
        preset: Some(preset.into()),
        ..NewUpstream::default()
    };

    let id = store.create_upstream(&admin(), new("glm", "zhipu")).await.unwrap();
    let made = store.upstream(id).await.unwrap().upstream;
    assert_eq!(made.base_url.as_str(), "https://open.bigmodel.cn/api/paas/v4");
    assert_eq!((made.preset.as_deref(), made.paths), (Some("zhipu"), PathStyle::AsBase));
    assert_eq!(made.dialects, [Dialect::OpenaiChat]);

    let classic = NewUpstream {
        base_url: Some("https://mine.openai.azure.com".into()),
        query: Some(vec![]),
        provider: Some(Provider::Openai),
        ..new("azure", "azure-openai-deployments")
    };
    let id = store.create_upstream(&admin(), classic).await.unwrap();
    let made = store.upstream(id).await.unwrap().upstream;
    assert_eq!((made.provider, made.query.len()), (Provider::Openai, 0), "what is said wins");
    assert_eq!(made.key_placement.to_string(), "header:api-key");
    assert_eq!(made.dialects, [Dialect::OpenaiChat]);
    assert_eq!(made.paths, PathStyle::Deployment);

    assert_eq!(
        fields(store.create_upstream(&admin(), new("x", "azure-openai")).await),
        ["base_url"]
    );
    let two = NewUpstream { retry_count: Some(99), ..new("X", "nobody") };
    let expected = ["preset", "base_url", "name", "retry_count"];
    assert_eq!(fields(store.create_upstream(&admin(), two).await), expected);
}

#[rstest]
#[tokio::test]
async fn another_preset_brings_only_what_is_known_of_models(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let before = store.upstream(id).await.unwrap().upstream;
    let to = |preset: Option<&str>| UpstreamEdit {
        preset: Some(preset.map(str::to_owned)),
        ..UpstreamEdit::default()
    };

    store.edit_upstream(&admin(), id, |_| Ok(to(Some("deepseek")))).await.unwrap();
    let after = store.upstream(id).await.unwrap().upstream;
    assert_eq!(after.profile("deepseek-v4", None).reasoning_content, Some(true));
    assert_eq!(domain::Upstream { preset: None, ..after }, before);
    assert_eq!(
        fields(store.edit_upstream(&admin(), id, |_| Ok(to(Some("nobody")))).await),
        ["preset"]
    );
    store.edit_upstream(&admin(), id, |_| Ok(to(None))).await.unwrap();
    assert_eq!(store.upstream(id).await.unwrap().upstream, before);
}

#[rstest]
#[tokio::test]
async fn what_is_known_of_models_reaches_the_catalog(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let edit = UpstreamEdit {
        model_profiles: Some(vec![thinker("m*"), thinker("*")]),
        ask_usage: Some(false),
        ..UpstreamEdit::default()
    };
    store.edit_upstream(&admin(), id, |_| Ok(edit)).await.unwrap();

    let catalog = store.load_catalog().await.unwrap();
    let upstream = &catalog.upstreams[&id].upstream;
    assert_eq!(upstream.model_profiles, [thinker("m*"), thinker("*")]);
    assert!(!upstream.ask_usage);

    let bad = UpstreamEdit {
        model_profiles: Some(vec![thinker("m*"), thinker("m*"), thinker("a*b")]),
        query: Some(vec![QueryField { name: "a b".into(), value: "&".into() }]),
        ..UpstreamEdit::default()
    };
    let expected = [
        "query[0].name",
        "query[0].value",
        "model_profiles[1].pattern",
        "model_profiles[2].pattern",
    ];
    assert_eq!(fields(store.edit_upstream(&admin(), id, |_| Ok(bad)).await), expected);
}

#[rstest]
#[tokio::test]
async fn an_edit_changes_what_it_names_and_leaves_the_rest(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let before = store.upstream(id).await.unwrap();

    let edit = UpstreamEdit { retry_count: Some(0), ..UpstreamEdit::default() };
    let revision = store.edit_upstream(&admin(), id, |_| Ok(edit)).await.unwrap();

    let after = store.upstream(id).await.unwrap();
    assert_eq!(revision, Revision(2));
    assert_eq!(after.upstream.retry_count, 0);
    assert_eq!(domain::Upstream { retry_count: 2, ..after.upstream }, before.upstream);
    assert_eq!(after.created_at, before.created_at);
    assert!(after.updated_at > before.updated_at);
}

#[rstest]
#[tokio::test]
async fn another_provider_brings_its_own_dialects_and_key_placement(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;

    let edit = UpstreamEdit { provider: Some(Provider::Gemini), ..UpstreamEdit::default() };
    store.edit_upstream(&admin(), id, |_| Ok(edit)).await.unwrap();

    let upstream = store.upstream(id).await.unwrap().upstream;
    assert_eq!(upstream.dialects, [Dialect::Gemini]);
    assert_eq!(upstream.key_placement.to_string(), "header:x-goog-api-key");
}

#[rstest]
#[tokio::test]
async fn a_change_that_cannot_be_served_is_not_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let committed = store.committed();

    let bad = UpstreamEdit {
        name: Some("Not A Name".into()),
        retry_count: Some(11),
        ..UpstreamEdit::default()
    };
    let refused = store.edit_upstream(&admin(), id, |_| Ok(bad)).await;

    assert_eq!(fields(refused), ["name", "retry_count"]);
    assert_eq!(store.upstream(id).await.unwrap().upstream.name, "openai");
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    assert!(!committed.has_changed().unwrap());
}

#[rstest]
#[tokio::test]
async fn an_address_is_checked_when_it_is_entered(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    for bad in ["ftp://nowhere", "https://u:p@host", "http://10.0.0.1", "http://169.254.169.254"] {
        let edit = UpstreamEdit { base_url: Some(bad.into()), ..UpstreamEdit::default() };
        assert_eq!(
            fields(store.edit_upstream(&admin(), id, |_| Ok(edit)).await),
            ["base_url"],
            "{bad}"
        );
        assert_eq!(fields(store.create_upstream(&admin(), named("x", bad)).await), ["base_url"]);
    }
}

#[rstest]
#[tokio::test]
async fn a_refused_address_does_not_hide_what_else_is_at_fault(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let edit = UpstreamEdit {
        name: Some("Not A Name".into()),
        base_url: Some("ftp://nowhere".into()),
        ..UpstreamEdit::default()
    };
    let new = named("Not A Name", "ftp://nowhere");

    assert_eq!(fields(store.edit_upstream(&admin(), id, |_| Ok(edit)).await), ["base_url", "name"]);
    assert_eq!(fields(store.create_upstream(&admin(), new).await), ["base_url", "name"]);
}

#[rstest]
#[tokio::test]
async fn a_name_is_given_once(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.add_upstream("openai").await;
    let other = store.add_upstream("other").await;

    let again = store.create_upstream(&admin(), named("openai", "https://host")).await;
    let edit = UpstreamEdit { name: Some("openai".into()), ..UpstreamEdit::default() };
    let renamed = store.edit_upstream(&admin(), other, |_| Ok(edit)).await;

    assert!(matches!(again, Err(StoreError::Conflict { field: "name", .. })), "{again:?}");
    assert!(matches!(renamed, Err(StoreError::Conflict { field: "name", .. })), "{renamed:?}");
}

#[rstest]
#[tokio::test]
async fn ids_are_never_given_twice_and_a_refused_change_takes_none(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let first = store.add_upstream("first").await;
    store.delete_upstream(&admin(), first).await.unwrap();
    store.create_upstream(&admin(), named("NOT", "https://host")).await.unwrap_err();

    assert_eq!(store.add_upstream("second").await, UpstreamId(2));
}

#[rstest]
#[tokio::test]
async fn keys_do_not_follow_to_another_host(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let key = store.add_key(id, "one").await;
    let moved = |url: &str, clear_keys| UpstreamEdit {
        base_url: Some(url.into()),
        clear_keys,
        ..UpstreamEdit::default()
    };

    for elsewhere in ["https://evil.example", "https://api.openai.com:8443"] {
        let refused = store.edit_upstream(&admin(), id, |_| Ok(moved(elsewhere, false))).await;
        assert_eq!(fields(refused), ["base_url"], "{elsewhere}");
    }
    let same_place = moved("https://API.openai.com/v1", true);
    store.edit_upstream(&admin(), id, |_| Ok(same_place)).await.unwrap();
    assert!(store.provider_key(key).await.is_ok());

    store.edit_upstream(&admin(), id, |_| Ok(moved("https://other.example", true))).await.unwrap();
    assert!(matches!(store.provider_key(key).await, Err(StoreError::NotFound(_))));
    let catalog = store.load_catalog().await.unwrap();
    assert!(catalog.upstreams[&id].keys.is_empty());
    assert_eq!(catalog.upstreams[&id].upstream.base_url.host(), "other.example");
}

#[rstest]
#[tokio::test]
async fn an_upstream_goes_with_its_keys(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let key = store.add_key(id, "one").await;
    assert_eq!(store.upstream(id).await.unwrap().keys, 1);

    store.delete_upstream(&admin(), id).await.unwrap();

    assert!(matches!(store.upstream(id).await, Err(StoreError::NotFound("upstream"))));
    assert!(matches!(store.provider_key(key).await, Err(StoreError::NotFound(_))));
    assert!(store.load_catalog().await.unwrap().upstreams.is_empty());
    let gone = store.delete_upstream(&admin(), id).await;
    assert!(matches!(gone, Err(StoreError::NotFound("upstream"))));
}

#[rstest]
#[tokio::test]
async fn who_is_confined_sees_no_thing_of_others(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let lin = store.add_user("lin", Role::Developer).await;
    let lin = actor(lin, Role::Developer);

    let edit = UpstreamEdit { enabled: Some(false), ..UpstreamEdit::default() };
    let edited = store.edit_upstream(&lin, id, |_| Ok(edit)).await;
    let deleted = store.delete_upstream(&lin, id).await;
    let given = NewUpstream { owner: Some(UserId(99)), ..named("x", "https://host") };
    let given = store.create_upstream(&lin, given).await;

    assert!(matches!(edited, Err(StoreError::NotFound("upstream"))));
    assert!(matches!(deleted, Err(StoreError::NotFound("upstream"))));
    assert_eq!(fields(given), ["owner_id"]);
}

#[rstest]
#[tokio::test]
async fn what_is_made_belongs_to_its_maker_or_to_a_user_that_exists(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = store.add_user("lin", Role::Operator).await;
    let lin: Actor = actor(lin, Role::Operator);

    let own = store.create_upstream(&lin, named("own", "https://host")).await.unwrap();
    let to_nobody = NewUpstream { owner: Some(UserId(99)), ..named("x", "https://host") };
    let to_nobody = store.create_upstream(&lin, to_nobody).await;

    assert_eq!(Some(store.upstream(own).await.unwrap().upstream.owner), lin.user());
    assert_eq!(fields(to_nobody), ["owner_id"]);
}

#[rstest]
#[tokio::test]
async fn a_change_wakes_who_watches(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut committed = store.committed();

    store.add_upstream("openai").await;

    committed.changed().await.unwrap();
    assert_eq!(*committed.borrow(), Revision(1));
}

#[rstest]
#[tokio::test]
async fn changes_that_come_at_once_queue_up(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let mut making = Vec::new();
    for i in 0..10 {
        let store = if i % 2 == 0 { store.store.clone() } else { other.clone() };
        making.push(tokio::spawn(async move {
            store.create_upstream(&admin(), named(&format!("u{i}"), "https://host")).await
        }));
    }
    let mut ids = Vec::new();
    for made in making {
        ids.push(made.await.unwrap().unwrap().0);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    assert_eq!(store.revision().await.unwrap(), Revision(10));
    assert_eq!(store.load_catalog().await.unwrap().upstreams.len(), 10);
}
