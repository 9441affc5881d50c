//! `kill -9` at any moment loses no entry of an answered call and doubles none.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use testkit::{Caller, Ended};
use tokio::sync::Notify;

use super::{furnish, gateway, providers};

const ROUNDS: usize = 20;
const CALLERS: usize = 8;

/// What the callers of one round saw.
#[derive(Default)]
struct Round {
    answers: AtomicUsize,
    /// Told when there is one answer more.
    answered: Notify,
    over: AtomicBool,
}

/// Calls, streamed and not, until the gateway is gone. Gives what was answered and what was not.
async fn call_until_the_end(
    caller: Caller,
    name: String,
    round: Arc<Round>,
) -> (Vec<String>, Vec<String>) {
    let (mut answered, mut broken) = (Vec::new(), Vec::new());
    for n in 0.. {
        let id = format!("{name}-{n}");
        match caller.call(&id, n % 2 == 0).await {
            Ended::Answered => {
                answered.push(id);
                round.answers.fetch_add(1, Ordering::SeqCst);
                round.answered.notify_one();
            }
            Ended::Refused(status) => panic!("{id} was refused with {status}"),
            Ended::Broken => broken.push(id),
        }
        if round.over.load(Ordering::SeqCst) {
            break;
        }
    }
    (answered, broken)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_under_load_loses_no_answered_call_and_doubles_none() {
    let providers = providers().await;
    let mut gateway = gateway();
    gateway.start().await;
    let key = furnish(&gateway, &providers).await;
    let (mut answered, mut broken) = (HashSet::new(), HashSet::new());

    for number in 0..ROUNDS {
        let round = Arc::new(Round::default());
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let name = format!("round-{number}-{n}");
                let caller = gateway.caller(&key);
                tokio::spawn(call_until_the_end(caller, name, Arc::clone(&round)))
            })
            .collect();
        // Each round is hit at another point.
        while round.answers.load(Ordering::SeqCst) < 20 + 3 * number {
            round.answered.notified().await;
        }
        round.over.store(true, Ordering::SeqCst);
        gateway.kill();
        for caller in callers {
            let (done, cut) = caller.await.unwrap();
            answered.extend(done);
            broken.extend(cut);
        }
        gateway.start().await;
    }

    let admin = gateway.admin().await;
    testkit::until("every answered call has its entry", || async {
        let log = admin.log().await;
        answered.iter().all(|id| log.contains_key(id)).then_some(())
    })
    .await;
    // What is left in the journal is brought over before the process ends.
    gateway.stop().await;
    gateway.start().await;
    let log = gateway.admin().await.log().await;

    for id in &answered {
        let rows = &log[id];
        assert_eq!(rows.len(), 1, "{id} has {rows:?}");
        assert_eq!((rows[0].outcome.as_str(), rows[0].status), ("completed", 200), "{id}");
    }
    for (id, rows) in &log {
        assert_eq!(rows.len(), 1, "{id} has {rows:?}");
        let known = answered.contains(id) || broken.contains(id) || id.starts_with("first-");
        assert!(known, "nobody called {id}");
    }
    let interrupted = log.values().flatten().filter(|row| row.outcome == "interrupted").count();
    assert!(interrupted > 0, "no kill hit a call in its middle: {} were broken", broken.len());
}
