//! Calls with service keys that are not accepted.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{KeyFault, RefusedKey};
use rstest::rstest;
use store::{Page, RefusedKeyFilter};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite},
    upstreams::fields,
};

fn row(address: &str, key: Option<&str>, count: u64, second: i64) -> RefusedKey {
    let at = DateTime::<Utc>::from_timestamp(1_800_000_000 + second, 0).unwrap();
    RefusedKey {
        address: Some(address.to_owned()),
        key_id: key.map(str::to_owned),
        fault: KeyFault::Unknown,
        count,
        first_at: at,
        last_at: at + TimeDelta::seconds(1),
    }
}

#[rstest]
#[tokio::test]
async fn counts_of_several_instances_add_up(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = store.again().await;
    let expired =
        RefusedKey { fault: KeyFault::Expired, ..row("192.0.2.1", Some("aaaaaaaa"), 1, 5) };
    let first = [row("192.0.2.1", Some("aaaaaaaa"), 3, 0), row("192.0.2.2", None, 1, 2)];
    let again = [row("192.0.2.1", Some("aaaaaaaa"), 4, 9), expired.clone()];
    let (one, two) = tokio::join!(store.add_refused_keys(&first), other.add_refused_keys(&again));
    one.unwrap();
    two.unwrap();

    let any = RefusedKeyFilter::default;
    let rows = store.refused_keys(any(), Page::default()).await.unwrap().items;
    let latest = &rows[0];
    let spans = (first[0].first_at, again[0].last_at);
    assert_eq!((latest.count, (latest.first_at, latest.last_at)), (7, spans));
    assert_eq!(rows[1..], [expired, first[1].clone()]);

    for (filter, found) in [
        (RefusedKeyFilter { address: Some("192.0.2.2".into()), ..any() }, 1),
        (RefusedKeyFilter { key_id: Some("aaaaaaaa".into()), ..any() }, 2),
        (RefusedKeyFilter { fault: Some(KeyFault::Expired), ..any() }, 1),
    ] {
        let listed = store.refused_keys(filter.clone(), Page::default()).await.unwrap();
        assert_eq!(listed.items.len(), found, "{filter:?}");
    }
}

#[rstest]
#[tokio::test]
async fn the_latest_come_first_and_only_so_many_are_kept(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let many: Vec<_> = (0..10_050).map(|i| row(&format!("a{i}"), None, 1, i)).collect();
    store.add_refused_keys(&many).await.unwrap();
    store.add_refused_keys(&[row("a10049", None, 1, 10_049)]).await.unwrap();

    let (mut page, mut seen) = (Page::first(500), Vec::new());
    loop {
        let listed = store.refused_keys(RefusedKeyFilter::default(), page.clone()).await.unwrap();
        seen.extend(listed.items.into_iter().map(|row| row.address.unwrap()));
        match listed.next_cursor {
            Some(cursor) => page = page.after(cursor),
            None => break,
        }
    }
    let expected: Vec<_> = (50..10_050).rev().map(|i| format!("a{i}")).collect();
    assert_eq!(seen, expected);
    let odd = store.refused_keys(RefusedKeyFilter::default(), Page::default().after("x")).await;
    assert_eq!(fields(odd), ["cursor"]);
}
