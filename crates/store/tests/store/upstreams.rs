//! Upstreams, and the rules of every change.

use std::time::Duration;

use auth::{Actor, Role};
use domain::{
    BaseUrl, Dialect, Faults, HeaderPolicy, HeaderRule, KeyPlacement, ModelProfile, PathStyle,
    PoolPolicy, ProfileRule, Provider, QueryField, Revision, Strategy, ThinkingForm, Timeouts,
    UpstreamId, UserId,
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database};
use store::{EditOptions, MaskedKey, StoreError};

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin, named};

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
    let made = store.make(named("claude", "https://api.anthropic.com/")).await.unwrap();

    let row = store.look::<domain::Upstream>(UpstreamId(1)).await.unwrap();
    assert_eq!((&made, made.revision), (&row, Revision(1)), "what is answered is what is stored");
    assert_eq!(row.value.provider, Provider::Anthropic);
    assert_eq!(row.value.dialects, [Dialect::AnthropicMessages]);
    assert_eq!(row.value.key_placement.to_string(), "header:x-api-key");
    assert_eq!(row.value.base_url.as_str(), "https://api.anthropic.com");
    assert_eq!(row.extra, 0);
    assert_eq!(row.created_at, row.updated_at);
}

#[rstest]
#[tokio::test]
async fn everything_that_is_said_is_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let owner = store.add_user("lin", Role::Operator).await;
    let new = domain::Upstream {
        provider: Provider::Gemini,
        preset: Some("deepseek".into()),
        dialects: vec![Dialect::Gemini, Dialect::OpenaiChat],
        models: vec!["a".into(), "b".into()],
        enabled: false,
        strategy: Strategy::Weighted,
        retry_count: 7,
        timeouts: Timeouts { connect: Duration::from_millis(1500), ..Timeouts::default() },
        key_placement: KeyPlacement::Query("key".into()),
        header_policy: HeaderPolicy::Strict,
        header_rules: vec![HeaderRule { name: "x-team".into(), value: Some("ü".into()) }],
        record_bodies: true,
        paths: PathStyle::AsBase,
        query: vec![QueryField { name: "api-version".into(), value: "2024-10-21".into() }],
        model_profiles: vec![thinker("m*")],
        ask_usage: false,
        policy: PoolPolicy { max_in_flight: Some(9), ..PoolPolicy::default() },
        tags: vec!["prod".into()],
        ..named("own", "http://127.0.0.1:9000/prefix")
    };

    let made = store.make_by(&actor(owner, Role::Operator), new.clone()).await.unwrap();

    let kept = store.value::<domain::Upstream>(made.value.id).await;
    assert_eq!(kept, domain::Upstream { id: made.value.id, owner, ..new });
}

#[rstest]
#[tokio::test]
async fn another_preset_brings_only_what_is_known_of_models(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let before = store.value::<domain::Upstream>(id).await;
    let to = |preset: Option<&'static str>| {
        move |upstream: &mut domain::Upstream| upstream.preset = preset.map(str::to_owned)
    };

    store.alter(id, to(Some("deepseek"))).await.unwrap();
    let after = store.value::<domain::Upstream>(id).await;
    assert_eq!(after.profile("deepseek-v4", None).reasoning_content, Some(true));
    assert_eq!(domain::Upstream { preset: None, ..after }, before);
    assert_eq!(fields(store.alter(id, to(Some("nobody"))).await), ["preset"]);
    store.alter(id, to(None)).await.unwrap();
    assert_eq!(store.value::<domain::Upstream>(id).await, before);
}

#[rstest]
#[tokio::test]
async fn what_is_known_of_models_reaches_the_catalog(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let edit = |upstream: &mut domain::Upstream| {
        upstream.model_profiles = vec![thinker("m*"), thinker("*")];
        upstream.ask_usage = false;
    };
    store.alter(id, edit).await.unwrap();

    let catalog = store.load_catalog().await.unwrap();
    let upstream = &catalog.upstreams[&id].upstream;
    assert_eq!(upstream.model_profiles, [thinker("m*"), thinker("*")]);
    assert!(!upstream.ask_usage);

    let bad = |upstream: &mut domain::Upstream| {
        upstream.model_profiles = vec![thinker("m*"), thinker("m*"), thinker("a*b")];
        upstream.query = vec![QueryField { name: "a b".into(), value: "&".into() }];
    };
    let expected = [
        "query[0].name",
        "query[0].value",
        "model_profiles[1].pattern",
        "model_profiles[2].pattern",
    ];
    assert_eq!(fields(store.alter(id, bad).await), expected);
}

#[rstest]
#[tokio::test]
async fn an_edit_changes_what_it_names_and_leaves_the_rest(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let before = store.look::<domain::Upstream>(id).await.unwrap();

    let edited = store.alter(id, |it: &mut domain::Upstream| it.retry_count = 0).await.unwrap();

    let after = store.look::<domain::Upstream>(id).await.unwrap();
    assert_eq!((&edited, edited.revision), (&after, Revision(2)));
    assert_eq!(after.created_at, before.created_at);
    assert!(after.updated_at > before.updated_at);
    assert_eq!(after.value.retry_count, 0);
    assert_eq!(domain::Upstream { retry_count: 2, ..after.value }, before.value);
}

#[rstest]
#[tokio::test]
async fn another_provider_brings_its_own_dialects_and_key_placement(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;

    let edit = |upstream: &mut domain::Upstream| upstream.change_provider(Provider::Gemini);
    store.alter(id, edit).await.unwrap();

    let upstream = store.value::<domain::Upstream>(id).await;
    assert_eq!(upstream.dialects, [Dialect::Gemini]);
    assert_eq!(upstream.key_placement.to_string(), "header:x-goog-api-key");
}

#[rstest]
#[tokio::test]
async fn a_change_that_cannot_be_served_is_not_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let committed = store.committed();

    let bad = |upstream: &mut domain::Upstream| {
        upstream.name = "Not A Name".into();
        upstream.retry_count = 11;
    };
    let refused = store.alter(id, bad).await;

    assert_eq!(fields(refused), ["name", "retry_count"]);
    assert_eq!(store.value::<domain::Upstream>(id).await.name, "openai");
    assert_eq!(store.revision().await.unwrap(), Revision(1));
    assert!(!committed.has_changed().unwrap());
}

#[rstest]
#[tokio::test]
async fn an_address_is_checked_when_it_is_entered(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    for bad in ["http://10.0.0.1", "http://169.254.169.254"] {
        let url = BaseUrl::parse(bad).unwrap();
        let edited = store.alter(id, |it: &mut domain::Upstream| it.base_url = url).await;
        assert_eq!(fields(edited), ["base_url"], "{bad}");
        assert_eq!(fields(store.make(named("x", bad)).await), ["base_url"]);
    }
}

#[rstest]
#[tokio::test]
async fn a_refused_address_does_not_hide_what_else_is_at_fault(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let edit = |upstream: &mut domain::Upstream| {
        upstream.name = "Not A Name".into();
        upstream.base_url = BaseUrl::parse("http://10.0.0.1").unwrap();
    };

    assert_eq!(fields(store.alter(id, edit).await), ["base_url", "name"]);
    let new = named("Not A Name", "http://10.0.0.1");
    assert_eq!(fields(store.make(new).await), ["base_url", "name"]);
}

#[rstest]
#[tokio::test]
async fn an_address_that_cannot_be_read_is_mended_by_another_one(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("UPDATE upstreams SET base_url = 'ftp://odd'").await.unwrap();

    let left = store.alter(id, |it: &mut domain::Upstream| it.retry_count = 1).await;
    let mend = |it: &mut domain::Upstream| it.base_url = BaseUrl::parse("https://host").unwrap();
    let mended = store.alter(id, mend).await;

    assert_eq!(fields(left), ["base_url"]);
    assert_eq!(mended.unwrap().value.base_url.host(), "host");
}

#[rstest]
#[tokio::test]
async fn a_name_is_given_once(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.add_upstream("openai").await;
    let other = store.add_upstream("other").await;

    let again = store.make(named("openai", "https://host")).await;
    let rename = |upstream: &mut domain::Upstream| upstream.name = "openai".into();
    let renamed = store.alter(other, rename).await;

    assert!(matches!(again, Err(StoreError::Conflict { field: "name", .. })), "{again:?}");
    assert!(matches!(renamed, Err(StoreError::Conflict { field: "name", .. })), "{renamed:?}");
}

#[rstest]
#[tokio::test]
async fn ids_are_never_given_twice_and_a_refused_change_takes_none(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let first = store.add_upstream("first").await;
    store.delete::<domain::Upstream>(&admin(), first).await.unwrap();
    store.make(named("NOT", "https://host")).await.unwrap_err();

    assert_eq!(store.add_upstream("second").await, UpstreamId(2));
}

#[rstest]
#[tokio::test]
async fn keys_do_not_follow_to_another_host(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let key = store.add_key(id, "one").await;
    let moved = async |url: &str, clear_keys| {
        let url = BaseUrl::parse(url).unwrap();
        let edit = |upstream: &mut domain::Upstream| {
            upstream.base_url = url;
            Ok(EditOptions::clear_keys(clear_keys))
        };
        store.edit_with(&admin(), id, edit).await
    };

    for elsewhere in ["https://evil.example", "https://api.openai.com:8443"] {
        assert_eq!(fields(moved(elsewhere, false).await), ["base_url"], "{elsewhere}");
    }
    moved("https://API.openai.com/v1", true).await.unwrap();
    assert!(store.look::<MaskedKey>(key).await.is_ok());

    let emptied = moved("https://other.example", true).await.unwrap();
    assert_eq!(emptied.extra, 0);
    assert!(matches!(store.look::<MaskedKey>(key).await, Err(StoreError::NotFound(_))));
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
    assert_eq!(store.look::<domain::Upstream>(id).await.unwrap().extra, 1);

    store.delete::<domain::Upstream>(&admin(), id).await.unwrap();

    assert!(matches!(
        store.look::<domain::Upstream>(id).await,
        Err(StoreError::NotFound("upstream"))
    ));
    assert!(matches!(store.look::<MaskedKey>(key).await, Err(StoreError::NotFound(_))));
    assert!(store.load_catalog().await.unwrap().upstreams.is_empty());
    let gone = store.delete::<domain::Upstream>(&admin(), id).await;
    assert!(matches!(gone, Err(StoreError::NotFound("upstream"))));
}

#[rstest]
#[tokio::test]
async fn who_is_confined_sees_no_thing_of_others(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let id = store.add_upstream("openai").await;
    let lin = store.add_user("lin", Role::Developer).await;
    let lin = actor(lin, Role::Developer);

    let edit = |upstream: &mut domain::Upstream| {
        upstream.enabled = false;
        Ok(())
    };
    let edited = store.edit(&lin, id, edit).await;
    let deleted = store.delete::<domain::Upstream>(&lin, id).await;
    let seen = store.seen_by(&lin).get::<domain::Upstream>(id).await;

    assert!(matches!(edited, Err(StoreError::NotFound("upstream"))));
    assert!(matches!(deleted, Err(StoreError::NotFound("upstream"))));
    assert!(matches!(seen, Err(StoreError::NotFound("upstream"))));
}

#[rstest]
#[tokio::test]
async fn what_is_made_belongs_to_its_maker(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let lin = store.add_user("lin", Role::Operator).await;
    let lin: Actor = actor(lin, Role::Operator);
    let theirs = domain::Upstream { owner: UserId(99), ..named("own", "https://host") };

    let own = store.make_by(&lin, theirs).await.unwrap().value;
    let give = |upstream: &mut domain::Upstream| upstream.owner = UserId(99);
    let given = store.alter(own.id, give).await.unwrap().value;

    assert_eq!((Some(own.owner), Some(given.owner)), (lin.user(), lin.user()));
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
            let new = named(&format!("u{i}"), "https://host");
            store.create(&admin(), |_, _| new, |_| Ok(())).await
        }));
    }
    let mut ids = Vec::new();
    for made in making {
        ids.push(made.await.unwrap().unwrap().value.id.0);
    }
    ids.sort_unstable();
    assert_eq!(ids, (1..=10).collect::<Vec<_>>());
    assert_eq!(store.revision().await.unwrap(), Revision(10));
    assert_eq!(store.load_catalog().await.unwrap().upstreams.len(), 10);
}
