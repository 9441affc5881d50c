//! What lists of log entries can be confined to, and that no filter reads all of them.

use domain::{
    ProviderKeyId, ServiceKeyId, UpstreamId, UserId,
    log::{LogEntry, Outcome},
};
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, Statement};
use store::{LogFilter, LogOrder, Page, StatusClass};

use crate::{
    fixture::{Fixture, On, Pg, Sqlite, entry},
    logs::{HOUR, START, at, moment},
};

#[rstest]
#[tokio::test]
async fn logs_are_filtered_by_each_field(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut all: Vec<LogEntry> = (0..10).map(|i| entry(START + i)).collect();
    all[1].upstream = Some(UpstreamId(2));
    all[2].provider_key = Some(ProviderKeyId(2));
    all[3].service_key = ServiceKeyId(2);
    all[4].owner = UserId(2);
    all[5].model_used = Some("claude".into());
    all[6].status = 503;
    all[7].outcome = Outcome::ClientGone;
    all[8].request_id = "mine".into();
    all[9].path = "/proxy/100%/_x".into();
    store.append_log(&all, at(1)).await.unwrap();
    let found = async |filter: LogFilter, search: Option<&str>| {
        let page = Page { search: search.map(str::to_owned), ..Page::default() };
        let rows = store.log_entries(filter, page).await.unwrap().items;
        rows.iter().map(|row| row.entry.started_us - START).collect::<Vec<_>>()
    };
    let any = LogFilter::default;

    assert_eq!(found(any(), None).await, [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    let some = LogFilter { from: Some(moment(START + 3)), to: Some(moment(START + 5)), ..any() };
    assert_eq!(found(some, None).await, [4, 3]);
    for (filter, expected) in [
        (LogFilter { upstream: Some(UpstreamId(2)), ..any() }, 1),
        (LogFilter { provider_key: Some(ProviderKeyId(2)), ..any() }, 2),
        (LogFilter { service_key: Some(ServiceKeyId(2)), ..any() }, 3),
        (LogFilter { owner: Some(UserId(2)), ..any() }, 4),
        (LogFilter { model: Some("claude".into()), ..any() }, 5),
        (LogFilter { status: Some(StatusClass::Exactly(503)), ..any() }, 6),
        (LogFilter { status: Some(StatusClass::Hundred(5)), ..any() }, 6),
        (LogFilter { status: Some(StatusClass::Errors), ..any() }, 6),
        (LogFilter { outcome: Some(Outcome::ClientGone), ..any() }, 7),
        (LogFilter { request_id: Some("mine".into()), ..any() }, 8),
    ] {
        assert_eq!(found(filter.clone(), None).await, [expected], "{filter:?}");
    }
    assert_eq!(found(any(), Some("100%/_")).await, [9]);
    assert_eq!(found(any(), Some("CLAUDE")).await, [5]);
    assert_eq!(found(any(), Some("ine")).await, [8]);
    let own = Page { owner: Some(UserId(2)), ..Page::default() };
    assert_eq!(store.log_entries(any(), own).await.unwrap().items.len(), 1);
}

/// Puts `n` more entries like the only one into the log, each a microsecond older than the last.
async fn repeat(store: &Fixture, on: On, n: i64) {
    let db = Database::connect(store.address()).await.unwrap();
    let (columns, id, series) = match on {
        Sqlite => (
            "SELECT name FROM pragma_table_info('request_logs')",
            "randomblob(16)",
            format!(
                "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {n}) \
                 SELECT n FROM s"
            ),
        ),
        Pg => (
            "SELECT column_name::text FROM information_schema.columns \
             WHERE table_name = 'request_logs'",
            "gen_random_uuid()",
            format!("SELECT generate_series(1, {n}) AS n"),
        ),
    };
    let columns = Statement::from_string(db.get_database_backend(), columns);
    let columns = db.query_all_raw(columns).await.unwrap();
    let columns: Vec<String> = columns.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    let values: Vec<_> = columns
        .iter()
        .map(|column| match column.as_str() {
            "id" => id.to_owned(),
            "started_us" => "started_us - n".to_owned(),
            "arrival" => "arrival + n".to_owned(),
            other => other.to_owned(),
        })
        .collect();
    let sql = format!(
        "INSERT INTO request_logs ({}) SELECT {} FROM request_logs, ({series}) AS series",
        columns.join(", "),
        values.join(", "),
    );
    db.execute_unprepared(&sql).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn no_filter_of_the_log_looks_at_more_than_a_part_of_it(#[values(Sqlite, Pg)] on: On) {
    const MANY: i64 = 45_000;
    let store = Fixture::new(on).await;
    store.append_log(&[entry(START + HOUR)], at(1)).await.unwrap();
    repeat(&store, on, MANY).await;
    let mut oldest = entry(START);
    oldest.service_key = ServiceKeyId(7);
    oldest.model_asked = Some("rare".into());
    oldest.outcome = Outcome::ClientGone;
    store.append_log(&[oldest.clone()], at(2)).await.unwrap();
    let all = LogFilter::default;

    // What an index answers is known at once: whether there is something, and that there is nothing.
    for (filter, expected) in [
        (LogFilter { status: Some(StatusClass::Errors), ..all() }, 0),
        (LogFilter { service_key: Some(ServiceKeyId(7)), ..all() }, 1),
        (LogFilter { service_key: Some(ServiceKeyId(8)), ..all() }, 0),
        (LogFilter { provider_key: Some(ProviderKeyId(8)), ..all() }, 0),
        (LogFilter { request_id: Some("nobody".into()), ..all() }, 0),
        (LogFilter { to: Some(moment(START + 1)), model: Some("rare".into()), ..all() }, 1),
    ] {
        let found = store.log_entries(filter.clone(), Page::first(2)).await.unwrap();
        assert_eq!((found.items.len(), found.next_cursor), (expected, None), "{filter:?}");
    }
    // All else is looked for part by part.
    for (filter, expected) in [
        (LogFilter { model: Some("rare".into()), ..all() }, 1),
        (LogFilter { model: Some("nobody".into()), ..all() }, 0),
        (LogFilter { outcome: Some(Outcome::ClientGone), ..all() }, 1),
        (LogFilter { status: Some(StatusClass::Hundred(5)), ..all() }, 0),
        (
            LogFilter {
                service_key: Some(ServiceKeyId(1)),
                upstream: Some(UpstreamId(9)),
                ..all()
            },
            0,
        ),
        (LogFilter { order: LogOrder::LatestEnd, model: Some("rare".into()), ..all() }, 1),
        (LogFilter { order: LogOrder::EarliestEnd, model: Some("rare".into()), ..all() }, 1),
    ] {
        let (mut pages, mut found, mut page) = (0, Vec::new(), Page::first(2));
        loop {
            let listed = store.log_entries(filter.clone(), page.clone()).await.unwrap();
            pages += 1;
            found.extend(listed.items);
            let Some(cursor) = listed.next_cursor else { break };
            page = page.after(cursor);
        }
        assert_eq!((found.len(), pages), (expected, 3), "{filter:?}");
        assert!(found.iter().all(|row| row.entry == oldest), "{filter:?}");
    }
    // A search of names is one of them; and a full page is full wherever it begins.
    let search = Page { search: Some("RARE".into()), ..Page::first(2) };
    let none = store.log_entries(all(), search.clone()).await.unwrap();
    assert!(none.items.is_empty());
    let models = LogFilter { model: Some("gpt".into()), ..all() };
    let full = store.log_entries(models, Page::first(500)).await.unwrap();
    assert_eq!(full.items.len(), 500);
}
