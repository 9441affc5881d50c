//! A circuit breaker on a clock that stands still until a test moves it.

use domain::UpstreamId;

use super::*;

const S: i64 = 1_000_000;
const T0: i64 = 1_700_000_000 * S;

fn circuit() -> Arc<Circuit> {
    let guarded = Guarded { upstream: UpstreamId(1), key: None, model: None };
    Arc::new(Circuit::new(guarded))
}

fn policy() -> policy::Breaker {
    policy::Breaker { failures_in_a_row: 10, ..policy::Breaker::default() }
}

fn open(circuit: &Circuit, now_us: i64) -> BreakerStep {
    (0..10).find_map(|_| circuit.failed(&policy(), now_us, "timeout", None)).unwrap()
}

#[test]
fn so_many_failures_in_a_row_open_it_and_one_answer_between_does_not() {
    let circuit = circuit();
    for _ in 0..9 {
        assert_eq!(circuit.failed(&policy(), T0, "timeout", None), None);
    }
    circuit.answered(&policy(), T0);
    for _ in 0..8 {
        assert_eq!(circuit.failed(&policy(), T0, "timeout", None), None);
    }
    assert!(circuit.blocks(T0).is_none(), "18 calls are too few for a ratio");
    circuit.answered(&policy(), T0);
    let step = circuit.failed(&policy(), T0, "timeout", None).expect("18 of 20 is more than half");
    assert_eq!(step.state, BreakerState::Open(moment(T0 + 15 * S)));
    assert_eq!(circuit.blocks(T0), Some(T0 + 15 * S));
}

#[test]
fn the_window_slides_and_what_left_it_no_longer_counts() {
    let circuit = circuit();
    for _ in 0..9 {
        circuit.failed(&policy(), T0, "timeout", None);
    }
    for _ in 0..3 {
        circuit.answered(&policy(), T0 + 31 * S);
    }
    for n in 0..9 {
        assert_eq!(circuit.failed(&policy(), T0 + 31 * S, "timeout", None), None, "{n}");
    }
    let tenth = circuit.failed(&policy(), T0 + 31 * S, "timeout", None);
    assert!(tenth.is_some_and(|step| step.words.contains("10 calls in a row")));
}

#[test]
fn failures_far_apart_are_no_row() {
    let circuit = circuit();
    for n in 0..50 {
        assert_eq!(circuit.failed(&policy(), T0 + n * 60 * S, "network", None), None);
    }
}

#[test]
fn half_open_lets_one_of_five_hundred_through() {
    let circuit = circuit();
    open(&circuit, T0);
    let now_us = T0 + 15 * S;
    let claims = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                for _ in 0..50 {
                    if let Pass::Trial(claim, step) = circuit.pass(now_us) {
                        claims.lock().push((claim, step));
                    }
                }
            });
        }
    });
    let mut claims = claims.into_inner();
    assert_eq!(claims.len(), 1);
    assert_eq!(circuit.state(), BreakerState::HalfOpen);
    let (claim, step) = claims.pop().unwrap();
    assert_eq!(step.unwrap().state, BreakerState::HalfOpen);
    drop(claim);
    assert!(
        matches!(circuit.pass(now_us), Pass::Trial(_, None)),
        "its caller left: the next tries"
    );
}

#[test]
fn a_trial_that_fails_opens_it_for_twice_as_long_up_to_ten_minutes() {
    let circuit = circuit();
    let mut now_us = T0;
    open(&circuit, now_us);
    for (n, seconds) in [15, 30, 60, 120, 240, 480, 600, 600].into_iter().enumerate() {
        assert_eq!(circuit.blocks(now_us), Some(now_us + seconds * S), "opening {n}");
        now_us += seconds * S;
        let Pass::Trial(claim, _) = circuit.pass(now_us) else { panic!("it is time to try") };
        circuit.failed(&policy(), now_us, "timeout", None).unwrap();
        drop(claim);
    }
}

#[test]
fn a_trial_that_is_answered_closes_it_and_it_forgets_after_a_while() {
    let circuit = circuit();
    open(&circuit, T0);
    let now_us = T0 + 15 * S;
    let Pass::Trial(claim, _) = circuit.pass(now_us) else { panic!("it is time to try") };
    let step = circuit.answered(&policy(), now_us).unwrap();
    drop(claim);
    assert_eq!((step.state, step.openings), (BreakerState::Closed, 1));
    assert!(matches!(circuit.pass(now_us), Pass::Free));
    assert_eq!(open(&circuit, now_us + S).openings, 2, "it opens again soon after");
    circuit.pass(now_us + 100 * S);
    let now_us = now_us + 1000 * S;
    let Pass::Trial(_claim, _) = circuit.pass(now_us) else { panic!("it is time to try") };
    circuit.answered(&policy(), now_us);
    assert_eq!(open(&circuit, now_us + 601 * S).openings, 1);
}

#[test]
fn it_stands_as_it_stood_when_it_is_restored_and_older_news_is_ignored() {
    let (before, after) = (circuit(), circuit());
    let step = open(&before, T0);
    after.restore(&step);
    assert_eq!(after.state(), before.state());
    let older = BreakerStep { state: BreakerState::Closed, at: moment(T0 - S), ..step };
    after.restore(&older);
    assert_eq!(after.blocks(T0), Some(T0 + 15 * S));
}

#[test]
fn one_that_is_switched_off_never_opens() {
    let policy = policy::Breaker { enabled: false, ..policy() };
    let circuit = circuit();
    assert!((0..1000).all(|_| circuit.failed(&policy, T0, "timeout", None).is_none()));
}
