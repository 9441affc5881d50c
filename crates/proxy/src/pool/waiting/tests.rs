//! The line on tokio's paused clock: nothing here waits for real.

use std::{future::Future, pin::Pin, time::Duration};

use futures_util::FutureExt;

use super::*;

type Entering = Pin<Box<dyn Future<Output = Result<Ticket, NoPlace>>>>;

fn enter(line: &Arc<WaitingLine>, who: i64) -> Entering {
    let (line, deadline) = (line.clone(), Instant::now() + Duration::from_secs(5));
    let mut entering: Entering =
        Box::pin(async move { line.enter(ServiceKeyId(who), Some(1), deadline).await });
    assert!((&mut entering).now_or_never().is_none(), "it has to wait");
    entering
}

async fn first(line: &Arc<WaitingLine>) -> Ticket {
    line.enter(ServiceKeyId(0), Some(1), Instant::now()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn service_keys_take_turns_however_many_calls_one_of_them_has_in_line() {
    let line = Arc::new(WaitingLine::default());
    let mut ticket = first(&line).await;
    let mut waiting: Vec<(&str, Entering)> =
        [("1a", 1), ("1b", 1), ("1c", 1), ("2a", 2), ("2b", 2), ("3a", 3)]
            .map(|(name, who)| (name, enter(&line, who)))
            .into();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        drop(ticket);
        let done = waiting.iter_mut().enumerate().find_map(|(at, (_, entering))| {
            entering.as_mut().now_or_never().map(|ticket| (at, ticket.unwrap()))
        });
        let (at, next) = done.expect("one of them has its turn");
        order.push(waiting.remove(at).0);
        ticket = next;
    }
    assert_eq!(order, ["1a", "2a", "3a", "1b", "2b", "1c"]);
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded_for_all_and_for_each() {
    let line = Arc::new(WaitingLine::default());
    let _ticket = first(&line).await;
    let mut waiting: Vec<_> = (0..100).map(|_| enter(&line, 1)).collect();
    let now = Instant::now();
    let one_more = line.enter(ServiceKeyId(1), Some(1), now).await;
    assert_eq!(one_more.unwrap_err(), NoPlace::Full);
    for who in 2..=10 {
        waiting.extend((0..100).map(|_| enter(&line, who)));
    }
    assert_eq!(line.waiting(), 1000);
    let one_more = line.enter(ServiceKeyId(11), Some(1), now).await;
    assert_eq!(one_more.unwrap_err(), NoPlace::Full);
    drop(waiting);
    assert_eq!(line.waiting(), 0, "who leaves is no longer in line");
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_and_no_place_is_lost() {
    let line = Arc::new(WaitingLine::default());
    let ticket = first(&line).await;
    assert_eq!(enter(&line, 1).await.unwrap_err(), NoPlace::Late);
    let gone = enter(&line, 1);
    drop(ticket);
    drop(gone);
    drop(first(&line).await);
    assert_eq!(line.inner.lock().taken, 0);
}

#[tokio::test(start_paused = true)]
async fn an_end_between_asking_and_waiting_is_not_missed() {
    let line = Arc::new(WaitingLine::default());
    let ticket = first(&line).await;
    let changed = line.changed();
    drop(ticket);
    assert!(changed.now_or_never().is_some());
}
