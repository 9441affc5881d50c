//! The audit trail.

use auth::Role;
use domain::{Upstream, UserId};
use entity::audit;
use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, EntityTrait};
use store::{AuditEvent, AuditFilter, AuditVerdict, ChangeOptions, MaskedKey, Page};

use crate::fixture::{Fixture, On, Pg, Sqlite, actor, admin};

async fn break_with(store: &Fixture, sql: &str) {
    let db = Database::connect(store.address()).await.unwrap();
    db.execute_unprepared(sql).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_change_tells_who_what_and_from_where(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let lin = actor(UserId(7), Role::Operator);
    let edit = |upstream: &mut Upstream| {
        (upstream.name, upstream.retry_count, upstream.enabled) = ("open".into(), 2, false);
        Ok(())
    };

    store.edit(&lin, upstream, edit).await.unwrap();

    let line = store.audit(Page::first(1)).await.unwrap().items.remove(0);
    assert_eq!((line.id, line.user, line.actor.as_str()), (2, Some(UserId(7)), "somebody"));
    assert_eq!((line.action.as_str(), line.subject.as_str()), ("edited", "upstream"));
    assert_eq!((line.subject_id, line.ip.unwrap().to_string()), (Some(1), "203.0.113.7".into()));
    let detail = serde_json::json!({
        "before": { "name": "openai", "enabled": true },
        "after": { "name": "open", "enabled": false },
    });
    assert_eq!(line.detail, detail);
}

#[rstest]
#[tokio::test]
async fn no_secret_is_in_it(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let key = store.add_key(upstream, "one").await;
    store.add_service_key("app").await;
    store.add_user("lin", Role::Admin).await;
    let secret = |key: &mut MaskedKey| key.secret = Some("sk-very-secret-value".into());
    store.alter(key, secret).await.unwrap();

    let lines = store.audit(Page::default()).await.unwrap().items;

    assert_eq!(lines[0].detail["after"]["key_value"], "changed");
    let all = format!("{lines:?}");
    for secret in ["sk-one", "sk-very-secret", "v1.", "hash", "digest"] {
        assert!(!all.contains(secret), "{secret} is in {all}");
    }
}

#[rstest]
#[tokio::test]
async fn a_refused_change_leaves_no_line(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    store.alter(upstream, |it: &mut Upstream| it.retry_count = 99).await.unwrap_err();
    assert_eq!(store.audit(Page::default()).await.unwrap().items.len(), 1);
}

#[rstest]
#[tokio::test]
async fn it_is_read_page_by_page_newest_first(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    for i in 0..5 {
        store.note(&admin(), "revealed", "provider_key", Some(i)).await.unwrap();
    }
    store.note(&actor(UserId(7), Role::Admin), "signed_in", "user", None).await.unwrap();

    let first = store.audit(Page::first(4)).await.unwrap();
    let ids = |page: &store::Listed<store::AuditRow>| {
        page.items.iter().map(|line| line.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first), [6, 5, 4, 3]);
    let rest = Page::first(4).after(first.next_cursor.unwrap());
    let rest = store.audit(rest).await.unwrap();
    assert_eq!((ids(&rest), rest.next_cursor), (vec![2, 1], None));
    let by_name = Page { search: Some("SOMEB".into()), ..Page::default() };
    assert_eq!(ids(&store.audit(by_name).await.unwrap()), [6]);
    let own = Page { owner: Some(UserId(7)), ..Page::default() };
    assert_eq!(ids(&store.audit(own).await.unwrap()), [6]);
    assert!(store.audit(Page::default().after("x")).await.is_err());
}

#[rstest]
#[tokio::test]
async fn a_whole_chain_is_found_whole(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let empty = store.verify_audit().await.unwrap();
    assert_eq!(empty, AuditVerdict { lines: 0, broken_at: None, head: [0; 32] });
    let other = store.again().await;
    let writing = (0..20).map(|i| {
        let store = if i % 2 == 0 { store.store.clone() } else { other.clone() };
        tokio::spawn(async move { store.note(&admin(), "noted", "thing", Some(i)).await })
    });
    for written in writing.collect::<Vec<_>>() {
        written.await.unwrap().unwrap();
    }
    let verdict = store.verify_audit().await.unwrap();
    assert_eq!((verdict.lines, verdict.broken_at), (20, None));
    assert_ne!(verdict.head, [0; 32]);
}

#[rstest]
#[case::changed("UPDATE audit SET actor = 'nobody' WHERE id = 3", 3)]
#[case::moved_in_time("UPDATE audit SET at_us = at_us + 1 WHERE id = 3", 3)]
#[case::another_comment("UPDATE audit SET comment = 'no reason' WHERE id = 3", 3)]
#[case::told_as_before(
    "UPDATE audit SET result = NULL, name = NULL, revision = NULL WHERE id = 3",
    3
)]
#[case::taken_out("DELETE FROM audit WHERE id = 3", 4)]
#[tokio::test]
async fn what_was_tampered_with_is_found(
    #[values(Sqlite, Pg)] on: On,
    #[case] sql: &str,
    #[case] at: i64,
) {
    let store = Fixture::new(on).await;
    for i in 0..5 {
        store.note(&admin(), "noted", "thing", Some(i)).await.unwrap();
    }
    break_with(&store, sql).await;
    assert_eq!(store.verify_audit().await.unwrap().broken_at, Some(at));
}

#[rstest]
#[tokio::test]
async fn a_line_with_a_damaged_link_is_not_followed(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.note(&admin(), "noted", "thing", None).await.unwrap();
    let sql =
        if on == Pg { "UPDATE audit SET link = '\\x00'" } else { "UPDATE audit SET link = x'00'" };
    break_with(&store, sql).await;
    assert!(store.note(&admin(), "noted", "thing", None).await.is_err());
    let db = Database::connect(store.address()).await.unwrap();
    assert_eq!(audit::Entity::find().all(&db).await.unwrap().len(), 1);
}

#[rstest]
#[tokio::test]
async fn lines_are_found_by_who_what_about_what_and_when(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let upstream = store.add_upstream("openai").await;
    let lin = actor(UserId(7), Role::Operator);
    let why = ChangeOptions { comment: Some("too slow".into()), ..ChangeOptions::default() };
    let edit = |upstream: &mut Upstream| {
        upstream.enabled = false;
        Ok(())
    };
    store.with(why).edit(&lin, upstream, edit).await.unwrap();
    let failed = AuditEvent { refused: true, ..AuditEvent::done("login_failed", "auth") };
    let from = "198.51.100.9".parse().unwrap();
    store.note_stranger("root", Some(from), failed).await.unwrap();

    let found = async |filter: AuditFilter| {
        let page = store.find_audit(&filter, Page::default()).await.unwrap();
        let after = store.audit_after(&filter, 0).await.unwrap();
        assert_eq!(after.len(), page.items.len());
        page.items.into_iter().map(|line| (line.id, line.called)).collect::<Vec<_>>()
    };
    let all = || AuditFilter::default();
    let edited = vec![(2, "upstream.edit".to_owned())];
    let tried = vec![(3, "auth.login_failed".to_owned())];
    assert_eq!(found(AuditFilter { user: Some(UserId(7)), ..all() }).await, edited);
    assert_eq!(found(AuditFilter { action: Some("upstream.edit".into()), ..all() }).await, edited);
    assert_eq!(found(AuditFilter { actor: Some("ROOT".into()), ..all() }).await, tried);
    assert_eq!(found(AuditFilter { ip: Some(from), ..all() }).await, tried);
    assert_eq!(found(AuditFilter { refused: Some(true), ..all() }).await, tried);
    assert_eq!(found(AuditFilter { refused: Some(false), ..all() }).await.len(), 2);
    let about = AuditFilter { subject: Some("upstream".into()), subject_id: Some(1), ..all() };
    assert_eq!(found(about).await.len(), 2);
    let now = chrono::Utc::now();
    assert_eq!(found(AuditFilter { from: Some(now), ..all() }).await, []);
    assert_eq!(found(AuditFilter { to: Some(now), ..all() }).await.len(), 3);
    let odd = AuditFilter { action: Some("edited".into()), ..all() };
    assert!(store.find_audit(&odd, Page::default()).await.is_err());

    let line = store.audit(Page::first(2)).await.unwrap().items.remove(1);
    assert_eq!((line.name.as_deref(), line.comment.as_deref()), (Some("openai"), Some("too slow")));
    assert_eq!(line.revision, Some(2));
    assert_eq!(store.verify_audit().await.unwrap().broken_at, None);
}
