//! Routes.

use domain::{
    Conversion, Dialect, HeaderMatch, Matched, Matching, ModelProfile, Snapshot, Strategy, Target,
    UpstreamId,
    policy::{Sticky, StickyBy},
};
use rstest::rstest;
use store::{NewRoute, Page, RouteEdit, StoreError};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, admin},
    upstreams::fields,
};

fn target(upstream: UpstreamId, model: Option<&str>, weight: u32) -> Target {
    Target { model: model.map(str::to_owned), weight, ..Target::of(upstream) }
}

#[rstest]
#[tokio::test]
async fn targets_keep_their_order(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let targets: Vec<_> = (1..=10).rev().map(|w| target(upstream, Some("m"), w)).collect();
    let new = NewRoute { name: "fast".into(), targets: targets.clone(), ..NewRoute::default() };

    let id = store.create_route(&admin(), new).await.unwrap();

    let row = store.route(id).await.unwrap();
    assert_eq!((row.route.name.as_str(), row.route.enabled), ("fast", true));
    assert_eq!(row.route.targets, targets);
    let listed = store.routes(Page::default()).await.unwrap();
    assert_eq!(listed.items, [row]);
}

#[rstest]
#[tokio::test]
async fn a_route_is_changed_as_a_whole_or_in_parts(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let targets = vec![target(upstream, None, 1), target(upstream, Some("x"), 2)];
    let new = NewRoute { name: "a".into(), targets: targets.clone(), ..NewRoute::default() };
    let id = store.create_route(&admin(), new).await.unwrap();

    let edit = RouteEdit { name: Some("b".into()), enabled: Some(false), ..RouteEdit::default() };
    store.edit_route(&admin(), id, |_| Ok(edit)).await.unwrap();
    assert_eq!(store.route(id).await.unwrap().route.targets, targets);
    let edit = RouteEdit { targets: Some(targets[1..].to_vec()), ..RouteEdit::default() };
    store.edit_route(&admin(), id, |_| Ok(edit)).await.unwrap();

    let route = store.route(id).await.unwrap().route;
    assert_eq!((route.name.as_str(), route.enabled), ("b", false));
    assert_eq!(route.targets, targets[1..]);
    assert_eq!(store.load_catalog().await.unwrap().routes[&id].as_ref(), &route);
}

#[rstest]
#[tokio::test]
async fn a_route_says_what_may_be_converted_and_what_its_targets_are(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let profile = ModelProfile { default_max_tokens: Some(7), ..ModelProfile::default() };
    let told = Target {
        dialect: Some(Dialect::OpenaiResponses),
        profile: Some(profile),
        ..Target::of(upstream)
    };
    let targets = vec![told.clone(), Target::of(upstream)];
    let new = NewRoute {
        name: "fast".into(),
        conversion: Some(Conversion::Strict),
        targets: targets.clone(),
        ..NewRoute::default()
    };
    let id = store.create_route(&admin(), new).await.unwrap();

    let route = store.route(id).await.unwrap().route;
    assert_eq!((route.conversion, &route.targets), (Conversion::Strict, &targets));
    assert_eq!(store.load_catalog().await.unwrap().routes[&id].as_ref(), &route);
    let edit = RouteEdit { conversion: Some(Conversion::Never), ..RouteEdit::default() };
    store.edit_route(&admin(), id, |_| Ok(edit)).await.unwrap();
    let route = store.route(id).await.unwrap().route;
    assert_eq!((route.conversion, route.targets), (Conversion::Never, targets));

    let bad = ModelProfile { default_max_tokens: Some(0), ..profile };
    let bad = vec![
        Target::of(upstream),
        Target { dialect: Some(Dialect::Gemini), profile: Some(bad), ..told },
    ];
    let edit = RouteEdit { targets: Some(bad), ..RouteEdit::default() };
    let refused = store.edit_route(&admin(), id, |_| Ok(edit)).await;
    assert_eq!(fields(refused), ["targets[1].profile.default_max_tokens", "targets[1].dialect"]);
    let silent = store::UpstreamEdit {
        dialects: Some(vec![Dialect::OpenaiChat]),
        ..store::UpstreamEdit::default()
    };
    let needed = store.edit_upstream(&admin(), upstream, |_| Ok(silent)).await;
    assert_eq!(fields(needed), ["routes[1].targets[0].dialect"]);
}

#[rstest]
#[tokio::test]
async fn a_route_takes_calls_by_what_they_are_like(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let targets = vec![Target::of(store.add_upstream("openai").await)];
    let matching = |model: &str, priority| Matching {
        model: Some(model.to_owned()),
        headers: vec![HeaderMatch { name: "X-Tier".to_owned(), value: "gold|silver".to_owned() }],
        priority,
        ..Matching::default()
    };
    let sticky = Sticky { by: StickyBy::User, ..Sticky::default() };
    let gpt = NewRoute {
        name: "gpt".to_owned(),
        strategy: Some(Strategy::LeastLatency),
        sticky: Some(sticky.clone()),
        matching: Some(matching("gpt-.*", 1)),
        targets: targets.clone(),
        ..NewRoute::default()
    };
    let any = NewRoute {
        name: "any".to_owned(),
        matching: Some(matching(".*", 2)),
        targets,
        ..NewRoute::default()
    };
    // The one that is asked last is made first.
    let any = store.create_route(&admin(), any).await.unwrap();
    let gpt = store.create_route(&admin(), gpt).await.unwrap();

    let route = store.route(gpt).await.unwrap().route;
    assert_eq!(route.matching, Some(matching("gpt-.*", 1)));
    assert_eq!((route.strategy, route.sticky.as_ref()), (Strategy::LeastLatency, Some(&sticky)));
    let catalog = store.load_catalog().await.unwrap();
    assert_eq!(catalog.routes[&gpt].as_ref(), &route);
    let taking = async |model: &str, tier: &str| {
        let snapshot = Snapshot::compile(&store.load_catalog().await.unwrap()).unwrap();
        let header = |name: &str| (name == "x-tier").then_some(tier);
        let call = Matched { model, path: "/v1/messages", header: &header };
        snapshot.route_taking(call).map(|route| route.id)
    };
    assert_eq!(taking("gpt-5", "gold").await, Some(gpt));
    assert_eq!(taking("o3", "silver").await, Some(any));
    assert_eq!(taking("gpt-5", "bronze").await, None);

    let edit = RouteEdit { strategy: Some(Strategy::Random), ..RouteEdit::default() };
    store.edit_route(&admin(), gpt, |_| Ok(edit)).await.unwrap();
    assert_eq!(store.route(gpt).await.unwrap().route.matching, route.matching);
    let edit = RouteEdit { sticky: Some(None), matching: Some(None), ..RouteEdit::default() };
    store.edit_route(&admin(), gpt, |_| Ok(edit)).await.unwrap();
    let route = store.route(gpt).await.unwrap().route;
    assert_eq!((route.strategy, route.sticky, route.matching), (Strategy::Random, None, None));
    assert_eq!(taking("gpt-5", "gold").await, Some(any));
}

#[rstest]
#[tokio::test]
async fn what_a_route_cannot_look_for_is_named(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let targets = vec![Target::of(store.add_upstream("openai").await)];
    let new = |matching| NewRoute {
        name: "fast".to_owned(),
        matching: Some(matching),
        targets: targets.clone(),
        ..NewRoute::default()
    };
    let header = |name: &str, value: &str| HeaderMatch { name: name.into(), value: value.into() };
    let bad = Matching {
        model: Some("(".to_owned()),
        headers: vec![header("x-tier", "gold"), header("x tier", "[")],
        ..Matching::default()
    };
    let refused = store.create_route(&admin(), new(bad)).await;
    let expected = ["matching.model", "matching.headers[1].value", "matching.headers[1].name"];
    assert_eq!(fields(refused), expected);
    let refused = store.create_route(&admin(), new(Matching::default())).await;
    assert_eq!(fields(refused), ["matching"]);
    let far = Target { priority: u32::MAX, ..targets[0].clone() };
    let far = NewRoute { name: "far".to_owned(), targets: vec![far], ..NewRoute::default() };
    assert_eq!(fields(store.create_route(&admin(), far).await), ["targets[0].priority"]);
}

#[rstest]
#[tokio::test]
async fn a_route_leads_only_to_upstreams_that_there_are(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let good = target(upstream, None, 1);
    let new = |name: &str, targets| NewRoute { name: name.into(), targets, ..NewRoute::default() };

    let bad = vec![good.clone(), target(UpstreamId(9), Some(""), 0)];
    let refused = store.create_route(&admin(), new("no space", bad)).await;
    let expected = ["name", "targets[1].weight", "targets[1].model", "targets[1].upstream_id"];
    assert_eq!(fields(refused), expected);
    assert_eq!(fields(store.create_route(&admin(), new("none", vec![])).await), ["targets"]);
    let many = vec![good.clone(); 1000];
    assert_eq!(fields(store.create_route(&admin(), new("many", many)).await), ["targets"]);

    store.create_route(&admin(), new("fast", vec![good.clone()])).await.unwrap();
    let twice = store.create_route(&admin(), new("fast", vec![good])).await;
    assert!(matches!(twice, Err(StoreError::Conflict { field: "name", .. })));
    let needed = store.delete_upstream(&admin(), upstream).await;
    assert_eq!(fields(needed), ["routes[1].targets[0].upstream_id"]);
    assert!(store.upstream(upstream).await.is_ok());
}

#[rstest]
#[tokio::test]
async fn a_deleted_route_is_gone(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let new = NewRoute {
        name: "fast".into(),
        targets: vec![target(upstream, None, 1)],
        ..NewRoute::default()
    };
    let id = store.create_route(&admin(), new).await.unwrap();

    store.delete_route(&admin(), id).await.unwrap();

    assert!(matches!(store.route(id).await, Err(StoreError::NotFound("route"))));
    assert!(matches!(store.delete_route(&admin(), id).await, Err(StoreError::NotFound("route"))));
    let edited = store.edit_route(&admin(), id, |_| Ok(RouteEdit::default())).await;
    assert!(matches!(edited, Err(StoreError::NotFound("route"))));
    store.delete_upstream(&admin(), upstream).await.unwrap();
}
