//! Sessions of client programs.

use domain::{
    UserId,
    log::{LogEntry, Outcome},
};
use rstest::rstest;
use store::{Aged, JournalPosition, Page, SessionFilter, StoreError};

use crate::fixture::{Fixture, On, Pg, Sqlite, entry};

/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600_000_000;

fn at(offset: u64) -> JournalPosition {
    JournalPosition { journal: "node-1".into(), segment: 3, offset }
}

/// A call of a session, admitted so many seconds after the start.
fn call(second: i64, session: &str, agent: Option<&str>) -> LogEntry {
    let mut call = entry(START + second * 1_000_000);
    call.origin.session = Some(session.to_owned());
    call.origin.agent = agent.map(str::to_owned);
    call.origin.program = Some("claude-code".to_owned());
    call
}

#[rstest]
#[tokio::test]
async fn a_session_has_the_sums_of_its_calls_however_often_they_come(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut failed = call(3, "s", None);
    (failed.outcome, failed.status, failed.cost_nano) = (Outcome::Failed, 502, None);
    let mut helper = call(2, "s", Some("a"));
    helper.model_used = Some("gpt-5-mini".to_owned());
    helper.origin.parent_agent = Some("main".to_owned());
    let batch = [call(1, "s", None), helper, failed, call(0, "other", None), entry(START)];
    for offset in [1, 1, 2] {
        store.append_log(&batch, at(offset)).await.unwrap();
    }
    store.append_log(&[call(-5, "s", None)], at(3)).await.unwrap();

    let filter = SessionFilter { session: Some("s".to_owned()), ..SessionFilter::default() };
    let found = store.agent_sessions(filter, Page::default()).await.unwrap().items;
    let [session] = found.as_slice() else { panic!("{found:?}") };
    let sum = &session.sum;
    assert_eq!((sum.calls, session.turns, sum.errors), (4, 2, 1));
    assert_eq!((sum.input, sum.cached, sum.output), (40, 16, 80));
    assert_eq!((sum.cost_nano, sum.unpriced), (3_000, 1));
    assert_eq!(sum.first_at.timestamp_micros(), START - 5_000_000);
    assert_eq!(sum.last_at.timestamp_micros(), START + 4_000_000);
    assert_eq!(session.models, ["gpt-5", "gpt-5-mini"]);
    assert_eq!(session.program.as_deref(), Some("claude-code"));

    let tree = store.agent_session(session.id).await.unwrap();
    let parts: Vec<_> = tree
        .parts
        .iter()
        .map(|part| (part.agent.as_deref(), part.parent.as_deref(), part.sum.calls))
        .collect();
    assert_eq!(parts, [(None, None, 3), (Some("a"), Some("main"), 1)]);
    let missing = store.agent_session(999).await;
    assert!(matches!(missing, Err(StoreError::NotFound("session"))));
}

#[rstest]
#[tokio::test]
async fn the_same_session_of_two_owners_is_two_sessions(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let mut others = call(1, "s", None);
    others.owner = UserId(2);
    store.append_log(&[call(0, "s", None), others], at(1)).await.unwrap();
    let owned = async |owner| {
        let filter = SessionFilter { owner: Some(UserId(owner)), ..SessionFilter::default() };
        let found = store.agent_sessions(filter, Page::default()).await.unwrap().items;
        found.iter().map(|session| session.sum.calls).collect::<Vec<_>>()
    };
    assert_eq!((owned(1).await, owned(2).await, owned(3).await), (vec![1], vec![1], vec![]));
}

#[rstest]
#[tokio::test]
async fn sessions_are_paged_by_their_latest_call(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let calls: Vec<LogEntry> = (0..7).map(|n| call(n / 2, &format!("s{n}"), None)).collect();
    store.append_log(&calls, at(1)).await.unwrap();
    let (mut names, mut cursor) = (Vec::new(), None);
    loop {
        let page = Page { cursor, limit: 3, ..Page::default() };
        let found = store.agent_sessions(SessionFilter::default(), page).await.unwrap();
        names.extend(found.items.into_iter().map(|session| session.session));
        cursor = found.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(names.len(), 7);
    assert_eq!((names[0].as_str(), names[1][..1].to_owned()), ("s6", "s".to_owned()));
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 7, "no session is shown twice");
    let page = Page { cursor: Some("x".to_owned()), ..Page::default() };
    assert!(store.agent_sessions(SessionFilter::default(), page).await.is_err());
}

#[rstest]
#[tokio::test]
async fn a_session_leads_to_those_that_it_started(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    let child = |second, session: &str, parent: &str| {
        let mut call = call(second, session, None);
        call.origin.parent_session = Some(parent.to_owned());
        call
    };
    let calls = [
        child(0, "root", "grandchild"),
        child(1, "child", "root"),
        child(2, "grandchild", "child"),
        child(3, "stranger", "nobody"),
    ];
    store.append_log(&calls, at(1)).await.unwrap();
    let filter = SessionFilter { session: Some("root".to_owned()), ..SessionFilter::default() };
    let found = store.agent_sessions(filter, Page::default()).await.unwrap().items;
    let tree = store.agent_session(found[0].id).await.unwrap();
    let below: Vec<_> = tree.below.iter().map(|session| session.session.as_str()).collect();
    assert_eq!(below, ["child", "grandchild"]);
}

#[rstest]
#[tokio::test]
async fn old_sessions_are_taken_away(#[values(Sqlite, Pg)] on: On) {
    let store = Fixture::new(on).await;
    store.append_log(&[call(0, "old", None), call(100, "new", None)], at(1)).await.unwrap();
    let before = chrono::DateTime::from_timestamp_micros(START + 50_000_000).unwrap();
    for kind in [Aged::AgentSessions, Aged::AgentSessionParts] {
        assert_eq!(store.delete_old(kind, before, 100).await.unwrap(), 1);
    }
    let left = store.agent_sessions(SessionFilter::default(), Page::default()).await.unwrap();
    assert_eq!(left.items.len(), 1);
}
