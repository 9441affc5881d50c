//! A database that is locked, full, read-only, gone or replaced: told quickly as unavailable, and
//! used again as soon as it is back.

use std::{
    fs,
    time::{Duration, Instant},
};

use domain::{Revision, ServiceKey, Upstream};
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, TransactionTrait};
use store::{JournalPosition, RecordedBody, Result, Settings, Store, StoreError, Stored};
use testkit::{Postgres, postgres::database_name};
use uuid::Uuid;

use crate::fixture::{Fixture, Pg, Sqlite, admin, entry, outbound, service_key};

fn position() -> JournalPosition {
    JournalPosition { journal: "node".into(), segment: 0, offset: 0 }
}

async fn beside(store: &Fixture) -> DatabaseConnection {
    Database::connect(store.address()).await.unwrap()
}

/// A store that is not patient, and the database under it.
async fn impatient(store: &Fixture) -> Store {
    let mut settings = store.settings.clone();
    settings.patience = Duration::from_millis(200);
    Store::open(settings, &store.master, outbound()).await.unwrap()
}

/// Reads an upstream.
async fn look(store: &Store, upstream: domain::UpstreamId) -> Result<Stored<Upstream>> {
    store.seen_by(&admin()).get(upstream).await
}

/// Changes something.
async fn add_service_key(store: &Store) -> Result<Stored<ServiceKey>> {
    store.create(&admin(), |_, _| service_key("a"), |_| Ok(())).await
}

/// That it failed as unavailable, and soon.
async fn unavailable<T: std::fmt::Debug>(asked: impl Future<Output = Result<T>>) {
    let began = Instant::now();
    let answer = asked.await;
    assert!(matches!(answer, Err(StoreError::Unavailable(_))), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_lock_of_another_process_holds_up_writing_only_while_it_is_held() {
    let fixture = Fixture::new(Sqlite).await;
    let upstream = fixture.add_upstream("openai").await;
    let store = impatient(&fixture).await;
    let other = beside(&fixture).await;
    let options = sea_orm::TransactionOptions {
        sqlite_transaction_mode: Some(sea_orm::SqliteTransactionMode::Exclusive),
        ..Default::default()
    };
    let lock = other.begin_with_options(options).await.unwrap();

    unavailable(store.append_log(&[entry(0)], position())).await;
    unavailable(store.delete::<Upstream>(&admin(), upstream)).await;
    unavailable(store.add_login_failure(&["x"])).await;
    assert_eq!(store.load_catalog().await.unwrap().revision, Revision(1));
    assert!(look(&store, upstream).await.is_ok());

    lock.rollback().await.unwrap();
    assert_eq!(store.append_log(&[entry(0)], position()).await.unwrap(), 1);
    assert_eq!(store.delete::<Upstream>(&admin(), upstream).await.unwrap(), Revision(2));
}

#[tokio::test]
async fn a_row_lock_in_postgresql_holds_up_changes_only_while_it_is_held() {
    let fixture = Fixture::new(Pg).await;
    let store = impatient(&fixture).await;
    let other = beside(&fixture).await;
    let lock = other.begin().await.unwrap();
    lock.execute_unprepared("SELECT 1 FROM revision FOR UPDATE").await.unwrap();

    unavailable(add_service_key(&store)).await;
    assert_eq!(store.append_log(&[entry(0)], position()).await.unwrap(), 1);

    lock.rollback().await.unwrap();
    add_service_key(&store).await.unwrap();
}

#[tokio::test]
async fn many_writers_of_two_processes_are_never_told_that_the_database_is_locked() {
    let fixture = Fixture::new(Sqlite).await;
    let other = fixture.again().await;
    let mut writing = Vec::new();
    for i in 0..60 {
        let store = if i % 2 == 0 { fixture.store.clone() } else { other.clone() };
        writing.push(tokio::spawn(async move {
            let position = JournalPosition { journal: format!("n{i}"), segment: 0, offset: 0 };
            store.append_log(&[entry(i), entry(i)], position).await
        }));
    }
    for written in writing {
        assert_eq!(written.await.unwrap().unwrap(), 2);
    }
}

#[tokio::test]
async fn a_file_that_was_taken_away_is_used_again_when_it_is_back() {
    let fixture = Fixture::new(Sqlite).await;
    let upstream = fixture.add_upstream("openai").await;
    let away = fixture.dir.path().join("away");
    fs::rename(fixture.file(), &away).unwrap();

    unavailable(fixture.append_log(&[entry(0)], position())).await;
    unavailable(fixture.load_catalog()).await;
    unavailable(fixture.look::<Upstream>(upstream)).await;
    unavailable(fixture.delete::<Upstream>(&admin(), upstream)).await;
    assert!(!fixture.file().exists(), "no empty database takes its place");

    fs::rename(&away, fixture.file()).unwrap();
    assert_eq!(fixture.append_log(&[entry(0)], position()).await.unwrap(), 1);
    assert!(fixture.load_catalog().await.unwrap().upstreams.contains_key(&upstream));
}

#[tokio::test]
async fn a_file_that_was_replaced_is_opened_anew() {
    let fixture = Fixture::new(Sqlite).await;
    fixture.add_upstream("before").await;
    let backup = fixture.dir.path().join("backup");
    fixture.close().await;
    fs::copy(fixture.file(), &backup).unwrap();
    let store = fixture.again().await;
    for name in ["one", "two", "three"] {
        let new = crate::fixture::named(name, "https://host");
        store.create(&admin(), |_, _| new, |_| Ok(())).await.unwrap();
    }
    assert_eq!(store.load_catalog().await.unwrap().upstreams.len(), 4);

    fs::rename(&backup, fixture.file()).unwrap();

    let catalog = store.load_catalog().await.unwrap();
    assert_eq!((catalog.revision, catalog.upstreams.len()), (Revision(1), 1));
    assert_eq!(store.append_log(&[entry(0)], position()).await.unwrap(), 1);
    store.delete::<Upstream>(&admin(), domain::UpstreamId(1)).await.unwrap();
    assert_eq!(store.load_catalog().await.unwrap().upstreams.len(), 0);
    let outside = beside(&fixture).await;
    let check = outside.query_one_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::Sqlite,
        "PRAGMA integrity_check",
    ));
    let check: String = check.await.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(check, "ok");
}

#[tokio::test]
async fn garbage_in_place_of_the_file_is_not_used_and_not_touched() {
    let fixture = Fixture::new(Sqlite).await;
    fixture.add_upstream("openai").await;
    let away = fixture.dir.path().join("away");
    fixture.close().await;
    fs::rename(fixture.file(), &away).unwrap();
    let garbage = b"not a database at all".repeat(1000);
    fs::write(fixture.file(), &garbage).unwrap();

    unavailable(fixture.load_catalog()).await;
    unavailable(fixture.append_log(&[entry(0)], position())).await;
    assert_eq!(fs::read(fixture.file()).unwrap(), garbage);

    fs::rename(&away, fixture.file()).unwrap();
    assert_eq!(fixture.append_log(&[entry(0)], position()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_database_takes_writes_again_when_there_is_room() {
    let fixture = Fixture::new(Sqlite).await;
    fixture.close().await;
    let settings = Settings { max_size: Some(1 << 20), ..fixture.settings.clone() };
    let store = Store::open(settings, &fixture.master, outbound()).await.unwrap();
    let body = || {
        let bytes = vec![b'x'; 100_000];
        vec![RecordedBody { log: Uuid::now_v7(), answer: true, bytes, cut: false }]
    };
    let mut stored = 0;
    while store.append_bodies(body()).await.is_ok() {
        stored += 1;
        assert!(stored < 20, "it never becomes full");
    }

    unavailable(store.append_bodies(body())).await;
    assert!(store.load_catalog().await.is_ok());

    beside(&fixture).await.execute_unprepared("DELETE FROM recorded_bodies").await.unwrap();
    store.append_bodies(body()).await.unwrap();
    assert_eq!(store.append_log(&[entry(0)], position()).await.unwrap(), 1);
}

/// Asks until it is answered: the connections that were broken are noticed one by one.
async fn at_last<T>(mut ask: impl AsyncFnMut() -> Result<T>) -> T {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => assert!(error.passing(), "{error}"),
        }
        assert!(began.elapsed() < Duration::from_secs(30), "it did not come back");
    }
}

#[tokio::test]
async fn a_database_that_only_reads_takes_writes_again_afterwards() {
    let fixture = Fixture::new(Pg).await;
    let upstream = fixture.add_upstream("openai").await;
    let name = database_name(&fixture.settings.url).to_owned();
    let server = Postgres::shared();
    let set = |value: &str| {
        let sql = format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}");
        server.run("postgres", &sql);
        // New connections begin with the new default.
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname";
        server.run("postgres", &format!("{others} = '{name}'"));
    };
    set("on");

    at_last(async || fixture.look::<Upstream>(upstream).await).await;
    unavailable(fixture.append_log(&[entry(0)], position())).await;
    unavailable(fixture.delete::<Upstream>(&admin(), upstream)).await;
    assert!(fixture.load_catalog().await.is_ok());

    set("off");
    let new = at_last(async || fixture.append_log(&[entry(0)], position()).await).await;
    assert_eq!(new, 1);
    at_last(async || fixture.delete::<Upstream>(&admin(), upstream).await).await;
}

#[tokio::test]
async fn a_server_that_went_away_is_found_again() {
    let server = Postgres::alone();
    let mut settings = Settings::new(server.database());
    settings.patience = Duration::from_millis(500);
    let master = auth::MasterKey::generate();
    let store = Store::open(settings, &master, outbound()).await.unwrap();
    store.append_log(&[entry(0)], position()).await.unwrap();

    server.stop();
    unavailable(store.append_log(&[entry(0)], position())).await;
    unavailable(store.load_catalog()).await;
    unavailable(add_service_key(&store)).await;

    server.restart();
    let new = at_last(async || store.append_log(&[entry(0)], position()).await).await;
    assert_eq!(new, 1);
    at_last(async || store.load_catalog().await).await;
}
