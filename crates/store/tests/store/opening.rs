//! Opening a database: new, used, foreign, damaged, and by several at once.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    time::Duration,
};

use auth::MasterKey;
use domain::{Conversion, RouteId, Target, UpstreamId};
use entity::roles;
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, EntityTrait, Statement, TransactionTrait};
use store::{Settings, Store, StoreError};

use crate::fixture::{Fixture, On, Pg, Sqlite, admin, listed, named, outbound};

async fn one(store: &Fixture, sql: &str) -> String {
    let db = Database::connect(store.address()).await.unwrap();
    let row = db.query_one_raw(Statement::from_string(db.get_database_backend(), sql)).await;
    row.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[rstest]
#[tokio::test]
async fn what_was_stored_is_there_at_the_next_start(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    store.add_key(upstream, "one").await;
    store.close().await;

    let again = store.again().await;

    let catalog = again.load_catalog().await.unwrap();
    assert_eq!(catalog.upstreams[&upstream].keys.len(), 1);
    assert_eq!(*again.committed().borrow(), catalog.revision);
}

#[rstest]
#[tokio::test]
async fn another_master_key_is_refused(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let other = MasterKey::generate();
    let refused = Store::open(store.settings.clone(), &other, outbound()).await;
    assert!(matches!(refused, Err(StoreError::WrongMasterKey)), "{refused:?}");

    let upstream = store.add_upstream("openai").await;
    store.add_key(upstream, "one").await;
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("DELETE FROM master_key_check").await.unwrap();
    let refused = Store::open(store.settings.clone(), &other, outbound()).await;
    assert!(matches!(refused, Err(StoreError::Unusable(_))), "{refused:?}");
}

#[rstest]
#[tokio::test]
async fn several_may_open_a_new_database_at_once(#[values(Sqlite, Pg)] on: On) {
    let seed = Fixture::new(on).await;
    let mut settings = seed.settings.clone();
    settings.url = match on {
        Sqlite => format!("sqlite://{}", seed.dir.path().join("new.db").display()),
        Pg => testkit::Postgres::shared().database(),
    };
    let open = || Store::open(settings.clone(), &seed.master, outbound());
    let (a, b, c) = tokio::join!(open(), open(), open());
    for opened in [a, b, c] {
        assert!(opened.unwrap().needs_setup().await.unwrap());
    }
}

#[rstest]
#[tokio::test]
async fn the_roles_are_written_for_reports(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared("UPDATE roles SET permissions = '[]'").await.unwrap();
    store.again().await;

    let rows = roles::Entity::find().all(&db).await.unwrap();

    assert_eq!(rows.len(), 7);
    let developer = rows.iter().find(|role| role.name == "developer").unwrap();
    assert!(developer.permissions.contains("servicekey.write"));
}

#[rstest]
#[tokio::test]
async fn what_a_newer_program_changed_is_refused_unless_it_is_asked_for(
    #[values(Sqlite, Pg)] on: On,
) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let db = Database::connect(store.address()).await.unwrap();
    let newer = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_x', 1)";
    db.execute_unprepared(newer).await.unwrap();
    db.execute_unprepared("ALTER TABLE upstreams ADD COLUMN flavour TEXT").await.unwrap();

    let refused = Store::open(store.settings.clone(), &store.master, outbound()).await;
    let Err(StoreError::Unusable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("m29990101_x") && why.contains("database.allow_newer"), "{why}");
    let steps = store::migrations(&store.settings).await.unwrap();
    let unknown: Vec<_> = steps.iter().filter(|step| !step.known).collect();
    assert_eq!(unknown.len(), 1, "{steps:?}");
    assert!(unknown[0].applied && steps.iter().all(|step| step.applied), "{steps:?}");

    let asked = Settings { allow_newer: true, ..store.settings.clone() };
    let older = Store::open(asked, &store.master, outbound()).await.unwrap();
    assert!(has(&older, upstream).await);
}

#[rstest]
#[tokio::test]
async fn it_is_known_whether_a_database_has_a_master_key_already(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    assert!(Store::is_sealed(&store.settings).await.unwrap());
    let mut settings = store.settings.clone();
    settings.url = match on {
        Sqlite => format!("sqlite://{}", store.dir.path().join("new.db").display()),
        Pg => testkit::Postgres::shared().database(),
    };
    assert!(!Store::is_sealed(&settings).await.unwrap());
}

#[rstest]
#[tokio::test]
async fn rows_of_an_older_program_say_what_was_so_then(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let db = Database::connect(store.address()).await.unwrap();
    for sql in [
        "INSERT INTO upstreams (id, owner_id, name, provider, base_url, dialects, models, enabled, \
         strategy, retry_count, connect_timeout_ms, first_byte_timeout_ms, idle_timeout_ms, \
         total_timeout_ms, key_placement, header_policy, header_rules, record_bodies, created_us, \
         updated_us, revision) SELECT 9, owner_id, 'older', provider, base_url, dialects, models, \
         enabled, strategy, retry_count, connect_timeout_ms, first_byte_timeout_ms, \
         idle_timeout_ms, total_timeout_ms, key_placement, header_policy, header_rules, \
         record_bodies, created_us, updated_us, revision FROM upstreams",
        "INSERT INTO routes (id, owner_id, name, enabled, created_us, updated_us, revision) \
         VALUES (9, 0, 'older', TRUE, 0, 0, 1)",
        "INSERT INTO route_targets (route_id, position, upstream_id, model, weight, priority) \
         VALUES (9, 0, 9, NULL, 1, 0)",
    ] {
        db.execute_unprepared(sql).await.unwrap();
    }

    let newer = store.again().await;

    let expected = at(&newer, upstream).await;
    let older = at(&newer, UpstreamId(9)).await;
    let named = domain::Upstream { id: expected.id, name: expected.name.clone(), ..older };
    assert_eq!(named, expected);
    let route = newer.seen_by(&admin()).get::<domain::Route>(RouteId(9)).await.unwrap().value;
    assert_eq!(route.conversion, Conversion::Allow);
    assert_eq!(route.targets, [Target::of(UpstreamId(9))]);
    assert_eq!(newer.load_catalog().await.unwrap().routes[&RouteId(9)].as_ref(), &route);
}

#[tokio::test]
async fn an_sqlite_file_is_ours_alone_and_keeps_a_log_ahead() {
    let store = Fixture::new(Sqlite).await;
    let mode = fs::metadata(store.file()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(one(&store, "PRAGMA journal_mode").await, "wal");
}

#[tokio::test]
async fn one_data_plane_works_on_an_sqlite_file_and_many_on_postgresql() {
    let store = Fixture::new(Sqlite).await;
    let claim = store.claim_data_plane().unwrap();
    let second = store.again().await.claim_data_plane();
    assert!(matches!(second, Err(StoreError::Unusable(_))), "{second:?}");
    drop(claim);
    store.again().await.claim_data_plane().unwrap();

    let store = Fixture::new(Pg).await;
    let _first = store.claim_data_plane().unwrap();
    store.again().await.claim_data_plane().unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.db");
    fs::write(&file, "a letter to a friend, longer than a header of a hundred bytes ".repeat(9))
        .unwrap();
    let before = fs::read(&file).unwrap();
    let open = async |url: String| {
        let refused = Store::open(Settings::new(url), &MasterKey::generate(), outbound()).await;
        refused.map(drop)
    };

    let refused = open(file.display().to_string()).await;
    assert!(matches!(refused, Err(StoreError::Unusable(_))), "{refused:?}");
    assert_eq!(fs::read(&file).unwrap(), before);
    let nowhere = open("sqlite:///nowhere/at/all.db".into()).await;
    assert!(matches!(nowhere, Err(StoreError::Unusable(_))), "{nowhere:?}");
    let foreign = open("mysql://host/db".into()).await;
    assert!(matches!(foreign, Err(StoreError::Unusable(_))), "{foreign:?}");
    let closed = open(format!("postgres://localhost/x?host={}", dir.path().display())).await;
    assert!(matches!(closed, Err(StoreError::Unavailable(_))), "{closed:?}");
}

/// Opens a copy of the database file alone, as a backup holds it.
async fn restored(store: &Fixture) -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(store.file(), dir.path().join("tollgate.db")).unwrap();
    let opened = open_in(&dir, &store.master).await.unwrap();
    (dir, opened)
}

#[tokio::test]
async fn after_the_end_the_file_alone_holds_everything() {
    let store = Fixture::new(Sqlite).await;
    let upstream = store.add_upstream("openai").await;
    // The management plane may run on in another process.
    let other = store.again().await;
    let second = add(&other, "second").await.unwrap();
    store.close().await;
    let (_dir, copy) = restored(&store).await;
    assert!(has(&copy, upstream).await);
    assert!(has(&copy, second).await);

    let third = add(&other, "third").await.unwrap();
    other.close().await;
    let log = store.dir.path().join("tollgate.db-wal");
    assert!(fs::metadata(log).is_err(), "a write-ahead log is left");
    let (_dir, copy) = restored(&store).await;
    assert!(has(&copy, third).await);
}

/// Adds an upstream.
async fn add(store: &Store, name: &str) -> Result<UpstreamId, StoreError> {
    let new = named(name, "https://api.openai.com");
    Ok(store.create(&admin(), |_, _| new, |_| Ok(())).await?.value.id)
}

/// An upstream that there is.
async fn at(store: &Store, upstream: UpstreamId) -> domain::Upstream {
    store.seen_by(&admin()).get(upstream).await.unwrap().value
}

/// Whether there is such an upstream.
async fn has(store: &Store, upstream: UpstreamId) -> bool {
    store.seen_by(&admin()).get::<domain::Upstream>(upstream).await.is_ok()
}

/// The files of a process that was killed: the database and a log that was not emptied into it.
fn killed(store: &Fixture) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["tollgate.db", "tollgate.db-wal"] {
        fs::copy(store.dir.path().join(name), dir.path().join(name)).unwrap();
    }
    assert!(fs::metadata(dir.path().join("tollgate.db-wal")).unwrap().size() > 0);
    dir
}

async fn open_in(dir: &tempfile::TempDir, master: &MasterKey) -> store::Result<Store> {
    let url = dir.path().join("tollgate.db").display().to_string();
    Store::open(Settings::new(url), master, outbound()).await
}

#[tokio::test]
async fn nothing_is_lost_when_the_process_is_killed() {
    let store = Fixture::new(Sqlite).await;
    let upstream = store.add_upstream("openai").await;
    let dir = killed(&store);
    let found = open_in(&dir, &store.master).await.unwrap();
    assert!(has(&found, upstream).await);
}

#[tokio::test]
async fn a_damaged_file_is_refused_after_an_unclean_end() {
    let store = Fixture::new(Sqlite).await;
    let upstream = store.add_upstream("openai").await;
    let keys = (0..500).map(|i| listed(&format!("sk-{i}"))).collect();
    store.import_provider_keys(&admin(), upstream, keys, false).await.unwrap();
    store.close().await;
    let live = store.again().await;
    live.note(&crate::fixture::admin(), "noted", "thing", None).await.unwrap();
    let dir = killed(&store);
    let file = dir.path().join("tollgate.db");
    let mut bytes = fs::read(&file).unwrap();
    // The pages after the schema: tables and indexes.
    for page in (40..bytes.len() / 4096).step_by(3) {
        bytes[page * 4096..page * 4096 + 64].fill(0xa5);
    }
    fs::write(&file, &bytes).unwrap();

    let refused = open_in(&dir, &store.master).await;

    assert!(matches!(refused, Err(StoreError::Unusable(_))), "{refused:?}");
}

#[tokio::test]
async fn damage_in_the_log_does_not_keep_the_gateway_from_starting() {
    let store = Fixture::new(Sqlite).await;
    let upstream = store.add_upstream("openai").await;
    store.close().await;
    let live = store.again().await;
    live.note(&crate::fixture::admin(), "noted", "thing", None).await.unwrap();
    let page =
        one(&store, "SELECT CAST(rootpage AS TEXT) FROM sqlite_schema WHERE name = 'request_logs'");
    let page: usize = page.await.parse().unwrap();
    let dir = killed(&store);
    let file = dir.path().join("tollgate.db");
    let mut bytes = fs::read(&file).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xa5);
    fs::write(&file, &bytes).unwrap();

    let opened = open_in(&dir, &store.master).await.unwrap();

    assert!(has(&opened, upstream).await);
}

/// Settings with which nobody waits for long, over a wire to a database of its own.
async fn over_a_wire(store: &Fixture) -> (testkit::Wire, Settings) {
    let wire = testkit::Postgres::shared().wire().await;
    let mut settings = store.settings.clone();
    settings.url = testkit::postgres::over(&wire, &store.settings.url);
    settings.max_connections = 2;
    settings.statement_timeout = Duration::from_secs(3);
    settings.patience = Duration::from_secs(2);
    (wire, settings)
}

#[tokio::test]
async fn connections_that_die_in_silence_are_given_up_and_made_anew() {
    let store = Fixture::new(Pg).await;
    let (wire, settings) = over_a_wire(&store).await;
    let remote = Store::open(settings, &store.master, outbound()).await.unwrap();
    remote.revision().await.unwrap();
    // A statement is in flight: it waits for a lock that somebody else holds.
    let db = Database::connect(store.address()).await.unwrap();
    let lock = db.begin().await.unwrap();
    lock.execute_unprepared("UPDATE revision SET revision = revision").await.unwrap();
    let change = tokio::spawn({
        let remote = remote.clone();
        async move { add(&remote, "late").await }
    });
    testkit::until("it waits", || async {
        let sql = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
        (one(&store, sql).await != "0").then_some(())
    })
    .await;

    wire.silence();

    let failed = change.await.unwrap();
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    lock.rollback().await.unwrap();
    // More often than there are places in the pool: none is lost to a dead connection.
    for n in 0..4 {
        testkit::until("it is connected again", || async {
            add(&remote, &format!("again-{n}")).await.ok()
        })
        .await;
        wire.silence();
    }
}

#[tokio::test]
async fn why_there_is_no_connection_is_told_with_host_and_port() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = free.local_addr().unwrap();
    drop(free);
    let settings = Settings::new(format!("postgres://me:secret@{addr}/db"));
    let refused = Store::open(settings, &MasterKey::generate(), outbound()).await.unwrap_err();
    let words = refused.to_string();
    assert!(words.contains(&addr.to_string()) && words.contains("refused"), "{words}");
    assert!(!words.contains("secret"), "{words}");
}
