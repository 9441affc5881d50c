//! Paging, sorting and searching, which are the same for all lists.

use auth::Role;
use rstest::rstest;
use store::{Page, Sort, SortBy, UpstreamEdit};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, admin},
    upstreams::fields,
};

/// The names on all pages of three, one page after the other.
async fn walk(store: &Fixture, sort: Sort, search: Option<&str>) -> Vec<String> {
    let mut page = Page { sort, search: search.map(str::to_owned), ..Page::first(3) };
    let mut names = Vec::new();
    loop {
        let listed = store.upstreams(page.clone()).await.unwrap();
        assert!(listed.items.len() <= 3);
        names.extend(listed.items.into_iter().map(|row| row.upstream.name));
        match listed.next_cursor {
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
    store.edit_upstream(&admin(), first, |_| Ok(UpstreamEdit::default())).await.unwrap();

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
    let found = async |text: &str| {
        let page = Page { search: Some(text.into()), ..Page::default() };
        let users = store.users(page).await.unwrap().items;
        users.into_iter().map(|user| user.name).collect::<Vec<_>>()
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
    let cursor = store.upstreams(Page { sort: by_name, ..Page::first(1) }).await.unwrap();
    let cursor = cursor.next_cursor.unwrap();

    for bad in ["", "zz", "00", cursor.as_str(), "7b7d"] {
        let refused = store.upstreams(Page::default().after(bad)).await;
        assert_eq!(fields(refused), ["cursor"], "{bad}");
    }
    let page = Page { search: Some("x".repeat(500)), ..Page::default() };
    assert_eq!(fields(store.upstreams(page).await), ["search"]);
}

#[rstest]
#[tokio::test]
async fn a_page_is_never_larger_than_allowed_nor_empty(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    for name in ["a", "b", "c"] {
        store.add_upstream(name).await;
    }
    assert_eq!(store.upstreams(Page::first(0)).await.unwrap().items.len(), 1);
    let all = store.upstreams(Page::first(u32::MAX)).await.unwrap();
    assert_eq!((all.items.len(), all.next_cursor), (3, None));
}
