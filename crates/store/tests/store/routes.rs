//! Routes.

use domain::{
    Conversion, Dialect, HeaderMatch, Matched, Matching, ModelProfile, Route, Snapshot, Strategy,
    Target, UpstreamId,
    policy::{Sticky, StickyBy},
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database};
use store::{Page, StoreError};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, admin, route},
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

    let row = store.make(route("fast", targets.clone())).await.unwrap();

    assert_eq!((row.value.name.as_str(), row.value.enabled), ("fast", true));
    assert_eq!(row.value.targets, targets);
    let admin = admin();
    let listed = store.seen_by(&admin).list::<Route>(&(), Page::default()).await.unwrap();
    assert_eq!(listed.items, [row]);
}

#[rstest]
#[tokio::test]
async fn a_route_is_changed_as_a_whole_or_in_parts(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let targets = vec![target(upstream, None, 1), target(upstream, Some("x"), 2)];
    let id = store.make(route("a", targets.clone())).await.unwrap().value.id;

    let edit = |route: &mut Route| (route.name, route.enabled) = ("b".into(), false);
    store.alter(id, edit).await.unwrap();
    assert_eq!(store.value::<Route>(id).await.targets, targets);
    store.alter(id, |route: &mut Route| drop(route.targets.remove(0))).await.unwrap();

    let route = store.value::<Route>(id).await;
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
    let new = Route { conversion: Conversion::Strict, ..route("fast", targets.clone()) };
    let id = store.make(new).await.unwrap().value.id;

    let route = store.value::<Route>(id).await;
    assert_eq!((route.conversion, &route.targets), (Conversion::Strict, &targets));
    assert_eq!(store.load_catalog().await.unwrap().routes[&id].as_ref(), &route);
    store.alter(id, |route: &mut Route| route.conversion = Conversion::Never).await.unwrap();
    let route = store.value::<Route>(id).await;
    assert_eq!((route.conversion, route.targets), (Conversion::Never, targets));

    let bad = ModelProfile { default_max_tokens: Some(0), ..profile };
    let bad = vec![
        Target::of(upstream),
        Target { dialect: Some(Dialect::Gemini), profile: Some(bad), ..told },
    ];
    let refused = store.alter(id, |route: &mut Route| route.targets = bad).await;
    assert_eq!(fields(refused), ["targets[1].profile.default_max_tokens", "targets[1].dialect"]);
    let silent = |upstream: &mut domain::Upstream| upstream.dialects = vec![Dialect::OpenaiChat];
    let needed = store.alter(upstream, silent).await;
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
    let gpt = Route {
        strategy: Strategy::LeastLatency,
        sticky: Some(sticky.clone()),
        matching: Some(matching("gpt-.*", 1)),
        ..route("gpt", targets.clone())
    };
    let any = Route { matching: Some(matching(".*", 2)), ..route("any", targets) };
    // The one that is asked last is made first.
    let any = store.make(any).await.unwrap().value.id;
    let gpt = store.make(gpt).await.unwrap().value.id;

    let route = store.value::<Route>(gpt).await;
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

    store.alter(gpt, |route: &mut Route| route.strategy = Strategy::Random).await.unwrap();
    assert_eq!(store.value::<Route>(gpt).await.matching, route.matching);
    let edit = |route: &mut Route| (route.sticky, route.matching) = (None, None);
    store.alter(gpt, edit).await.unwrap();
    let route = store.value::<Route>(gpt).await;
    assert_eq!((route.strategy, route.sticky, route.matching), (Strategy::Random, None, None));
    assert_eq!(taking("gpt-5", "gold").await, Some(any));
}

#[rstest]
#[tokio::test]
async fn what_a_route_cannot_look_for_is_named(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let targets = vec![Target::of(store.add_upstream("openai").await)];
    let new = |matching| Route { matching: Some(matching), ..route("fast", targets.clone()) };
    let header = |name: &str, value: &str| HeaderMatch { name: name.into(), value: value.into() };
    let bad = Matching {
        model: Some("(".to_owned()),
        headers: vec![header("x-tier", "gold"), header("x tier", "[")],
        ..Matching::default()
    };
    let refused = store.make(new(bad)).await;
    let expected = ["matching.model", "matching.headers[1].value", "matching.headers[1].name"];
    assert_eq!(fields(refused), expected);
    let refused = store.make(new(Matching::default())).await;
    assert_eq!(fields(refused), ["matching"]);
    let far = Target { priority: u32::MAX, ..targets[0].clone() };
    let far = store.make(route("far", vec![far])).await;
    assert_eq!(fields(far), ["targets[0].priority"]);
}

#[rstest]
#[tokio::test]
async fn a_route_leads_only_to_upstreams_that_there_are(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let good = target(upstream, None, 1);

    let bad = vec![good.clone(), target(UpstreamId(9), Some(""), 0)];
    let refused = store.make(route("no space", bad)).await;
    let expected = ["name", "targets[1].weight", "targets[1].model", "targets[1].upstream_id"];
    assert_eq!(fields(refused), expected);
    assert_eq!(fields(store.make(route("none", vec![])).await), ["targets"]);
    let many = vec![good.clone(); 1000];
    assert_eq!(fields(store.make(route("many", many)).await), ["targets"]);

    store.make(route("fast", vec![good.clone()])).await.unwrap();
    let twice = store.make(route("fast", vec![good])).await;
    assert!(matches!(twice, Err(StoreError::Conflict { field: "name", .. })));
    let needed = store.delete::<domain::Upstream>(&admin(), upstream).await;
    assert_eq!(fields(needed), ["routes[1].targets[0].upstream_id"]);
    assert!(store.look::<domain::Upstream>(upstream).await.is_ok());
}

#[rstest]
#[tokio::test]
async fn a_deleted_route_is_gone(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let new = route("fast", vec![target(upstream, None, 1)]);
    let id = store.make(new).await.unwrap().value.id;

    store.delete::<Route>(&admin(), id).await.unwrap();

    assert!(matches!(store.look::<Route>(id).await, Err(StoreError::NotFound("route"))));
    assert!(matches!(
        store.delete::<Route>(&admin(), id).await,
        Err(StoreError::NotFound("route"))
    ));
    let edited = store.alter(id, |_: &mut Route| {}).await;
    assert!(matches!(edited, Err(StoreError::NotFound("route"))));
    store.delete::<domain::Upstream>(&admin(), upstream).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn what_a_newer_program_wrote_is_not_lost_by_an_edit(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let targets = vec![Target::of(store.add_upstream("openai").await)];
    let id = store.make(route("fast", targets)).await.unwrap().value.id;
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("UPDATE routes SET strategy = 'newer'").await.unwrap();

    let left = store.alter(id, |route: &mut Route| route.enabled = false).await;
    let mended = store.alter(id, |route: &mut Route| route.strategy = Strategy::Random).await;

    assert_eq!(fields(left), ["strategy"]);
    assert_eq!(mended.unwrap().value.strategy, Strategy::Random);
}
