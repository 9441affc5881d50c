//! Paging, sorting and searching, which are the same for all lists.

use auth::Role;
use domain::{ServiceKey, Upstream};
use rstest::rstest;
use store::{
    Listed, MaskedKey, Page, ProviderKeyFilter, Sort, SortBy, StoreError, Stored, TagFilter, User,
    UserFilter,
};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, admin},
    upstreams::fields,
};

/// A page of upstreams.
async fn listed(store: &Fixture, page: Page) -> Result<Listed<Stored<Upstream>>, StoreError> {
    store.seen_by(&admin()).list::<Upstream>(&TagFilter::default(), page).await
}

/// The names on all pages of three, one page after the other.
async fn walk(store: &Fixture, sort: Sort, search: Option<&str>) -> Vec<String> {
    let mut page = Page { sort, search: search.map(str::to_owned), ..Page::first(3) };
    let mut names = Vec::new();
    loop {
        let found = listed(store, page.clone()).await.unwrap();
        assert!(found.items.len() <= 3);
        names.extend(found.items.into_iter().map(|row| row.value.name));
        match found.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => return names,
        }
    }
}

#[rstest]
#[tokio::test]
async fn every_order_is_walked_to_its_end(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let names = ["delta", "alpha", "echo", "bravo", "charlie", "foxtrot"];
    for name in names {
        store.add_upstream(name).await;
    }
    let mut sorted = names.to_vec();
    sorted.sort_unstable();
    let reversed = |names: &[&str]| names.iter().rev().map(|n| n.to_string()).collect::<Vec<_>>();
    let first = domain::UpstreamId(1);
    store.alter(first, |_: &mut Upstream| {}).await.unwrap();

    let up = |by| Sort { by, descending: false };
    let down = |by| Sort { by, descending: true };
    assert_eq!(walk(&store, up(SortBy::Id), None).await, names);
    assert_eq!(walk(&store, down(SortBy::Id), None).await, reversed(&names));
    assert_eq!(walk(&store, up(SortBy::Name), None).await, sorted);
    assert_eq!(walk(&store, down(SortBy::Name), None).await, reversed(&sorted));
    let by_change = ["alpha", "echo", "bravo", "charlie", "foxtrot", "delta"];
    assert_eq!(walk(&store, up(SortBy::UpdatedAt), None).await, by_change);
    assert_eq!(walk(&store, down(SortBy::UpdatedAt), None).await, reversed(&by_change));
}

#[rstest]
#[tokio::test]
async fn a_search_takes_every_character_for_itself(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    for name in ["100% free", "1000 free", "a_b", "axb", "back\\slash", "O'Brien", "Ärger"] {
        store.add_user(name, Role::Analyst).await;
    }
    let by = admin();
    let found = async |text: &str| {
        let page = Page { search: Some(text.into()), ..Page::default() };
        let users = store.seen_by(&by).list::<User>(&UserFilter::default(), page).await;
        users.unwrap().items.into_iter().map(|user| user.value.name).collect::<Vec<_>>()
    };
    assert_eq!(found("0%").await, ["100% free"]);
    assert_eq!(found("a_b").await, ["a_b"]);
    assert_eq!(found("K\\S").await, ["back\\slash"]);
    assert_eq!(found("o'b").await, ["O'Brien"]);
    assert_eq!(found("rger").await, ["Ärger"]);
    assert_eq!(found("nobody").await, Vec::<String>::new());
    assert_eq!(found("fr\0ee").await, ["100% free", "1000 free"]);
}

#[rstest]
#[tokio::test]
async fn a_cursor_counts_only_where_it_was_given(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    for name in ["a", "b", "c"] {
        store.add_upstream(name).await;
    }
    let by_name = Sort { by: SortBy::Name, descending: false };
    let cursor = listed(&store, Page { sort: by_name, ..Page::first(1) }).await.unwrap();
    let cursor = cursor.next_cursor.unwrap();

    for bad in ["", "zz", "00", cursor.as_str(), "7b7d"] {
        let refused = listed(&store, Page::default().after(bad)).await;
        assert_eq!(fields(refused), ["cursor"], "{bad}");
    }
    let page = Page { search: Some("x".repeat(500)), ..Page::default() };
    assert_eq!(fields(listed(&store, page).await), ["search"]);
}

#[rstest]
#[tokio::test]
async fn a_page_is_never_larger_than_allowed_nor_empty(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    for name in ["a", "b", "c"] {
        store.add_upstream(name).await;
    }
    assert_eq!(listed(&store, Page::first(0)).await.unwrap().items.len(), 1);
    let all = listed(&store, Page::first(u32::MAX)).await.unwrap();
    assert_eq!((all.items.len(), all.next_cursor), (3, None));
}

#[rstest]
#[tokio::test]
async fn what_has_tags_is_found_by_one_of_them(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let (one, two) = (store.add_upstream("one").await, store.add_upstream("two").await);
    let (key, app) = (store.add_key(one, "key").await, store.add_service_key("app").await);
    let tags = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    store.alter(one, |it: &mut Upstream| it.tags = tags(&["prod", "生产"])).await.unwrap();
    store.alter(two, |it: &mut Upstream| it.tags = tags(&["pro_", "prod:eu"])).await.unwrap();
    store.alter(key, |it: &mut MaskedKey| it.tags = tags(&["team-a"])).await.unwrap();
    store.alter(app, |it: &mut ServiceKey| it.tags = tags(&["team-a"])).await.unwrap();

    let (by, page) = (admin(), Page::default());
    let view = store.seen_by(&by);
    let filter = |tag: &str| TagFilter { tag: Some(tag.to_owned()) };
    for (tag, found) in [
        ("prod", vec![one]),
        ("生产", vec![one]),
        ("pro_", vec![two]),
        ("prod:eu", vec![two]),
        ("pro", vec![]),
    ] {
        let listed = view.list::<Upstream>(&filter(tag), page.clone()).await.unwrap().items;
        assert_eq!(listed.iter().map(|it| it.value.id).collect::<Vec<_>>(), found, "{tag}");
    }
    let refused = view.list::<Upstream>(&filter("a\" or"), page.clone()).await;
    assert_eq!(fields(refused), ["tag"]);
    for (tag, found) in [("team-a", 1), ("team-b", 0)] {
        let keys = view.list::<ServiceKey>(&filter(tag), page.clone()).await.unwrap().items;
        assert_eq!(keys.len(), found, "{tag}");
        let filter = ProviderKeyFilter { tag: Some(tag.into()), ..ProviderKeyFilter::default() };
        let keys = view.list::<MaskedKey>(&filter, page.clone()).await.unwrap().items;
        assert_eq!(keys.len(), found, "{tag}");
    }
    let bad = store.alter(two, |it: &mut Upstream| it.tags = tags(&["a", "B", "a"])).await;
    assert_eq!(fields(bad), ["tags[1]", "tags[2]"]);
    let bad = store.alter(key, |it: &mut MaskedKey| it.tags = tags(&["a b"])).await;
    assert_eq!(fields(bad), ["tags[0]"]);
    let bad = store.alter(app, |it: &mut ServiceKey| it.tags = tags(&[""])).await;
    assert_eq!(fields(bad), ["tags[0]"]);
}
