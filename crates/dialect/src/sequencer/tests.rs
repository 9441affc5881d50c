//! Streams of overlapping blocks, in a short notation, and what is made of them.

use proptest::prelude::*;

use super::*;
use crate::{
    Signature, Vendor,
    chat::{Finish, Name, Opening},
};

/// Reads `+t0` (open a text as block 0; also `h`, `r`, `c`), `0:abc` (a delta), `0!` (a signature),
/// `-0` (close) and `.` (finish).
fn read(step: &str) -> Event<'_> {
    let number = |text: &str| text.parse().unwrap();
    if step == "." {
        return Event::Finish { choice: 0, finish: Finish::Stop };
    }
    if let Some(block) = step.strip_prefix('-') {
        return Event::Close { choice: 0, block: number(block) };
    }
    if let Some(block) = step.strip_suffix('!') {
        let signature = Signature::new(Vendor::Gemini, "s");
        return Event::Signature { choice: 0, block: number(block), signature };
    }
    if let Some((block, text)) = step.split_once(':') {
        return Event::Delta { choice: 0, block: number(block), text: text.into() };
    }
    let block = number(&step[2..]);
    let opening = match &step[..2] {
        "+t" => Opening::Text,
        "+h" => Opening::Thinking,
        "+r" => Opening::Refusal,
        _ => Opening::Call { id: format!("id{block}").into(), name: Name::plain("f") },
    };
    Event::Open { choice: 0, block, opening }
}

fn show(event: &Event<'_>) -> String {
    match event {
        Event::Open { block, opening, .. } => match opening {
            Opening::Text => format!("+t{block}"),
            Opening::Thinking => format!("+h{block}"),
            Opening::Refusal => format!("+r{block}"),
            Opening::Call { id, .. } => format!("+c{block}({id})"),
        },
        Event::Delta { block, text, .. } => format!("{block}:{text}"),
        Event::Signature { block, .. } => format!("{block}!"),
        Event::Close { block, .. } => format!("-{block}"),
        Event::Finish { .. } => ".".to_owned(),
        other => format!("{other:?}"),
    }
}

fn run(mut sequencer: Sequencer, steps: &str) -> String {
    let mut shown = Vec::new();
    for step in steps.split_whitespace() {
        sequencer.push(read(step), &mut |event| shown.push(show(&event)));
    }
    shown.join(" ")
}

#[track_caller]
fn check(steps: &str, expected: &str) {
    assert_eq!(run(Sequencer::default(), steps), expected, "{steps}");
}

#[test]
fn blocks_that_do_not_overlap_pass_as_they_are() {
    check("+t0 0:a 0:b -0 +c1 1:{} -1 .", "+t0 0:a 0:b -0 +c1(id1) 1:{} -1 .");
    check("+h7 7:a 7! -7 +t9 9:b -9 .", "+h0 0:a 0! -0 +t1 1:b -1 .");
}

#[test]
fn a_text_is_cut_where_another_block_comes_between() {
    check("+h0 +t1 0:a 1:b 0:c 0! -0 -1 .", "+h0 0:a -0 +t1 1:b -1 +h2 2:c 2! -2 .");
    check("+t0 0:a +r1 1:no 0:b .", "+t0 0:a -0 +r1 1:no -1 +t2 2:b -2 .");
}

#[test]
fn empty_texts_are_not_told_of() {
    check("+t0 0: -0 +r1 -1 +h2 -2 +c3 -3 .", "+h0 -0 +c1(id3) -1 .");
}

#[test]
fn calls_wait_for_the_one_that_is_open() {
    check("+c0 +c1 0:{ 1:[ 0:} 1:] -0 1:; -1 .", "+c0(id0) 0:{ 0:} -0 +c1(id1) 1:[] 1:; -1 .");
    check("+c0 +c1 +c2 2:x -2 1:y -1 -0 .", "+c0(id0) -0 +c1(id1) 1:y -1 +c2(id2) 2:x -2 .");
    check("+c0 0:a +c1 1:b .", "+c0(id0) 0:a -0 +c1(id1) 1:b -1 .");
}

#[test]
fn texts_wait_for_an_open_call_in_their_order() {
    check("+c0 +t1 1:a 0:x 1:b -0 1:c .", "+c0(id0) 0:x -0 +t1 1:ab 1:c -1 .");
    check(
        "+c0 +t1 1:a +h2 2:b 2! 1:c +c3 -0 .",
        "+c0(id0) -0 +t1 1:a -1 +h2 2:b 2! -2 +t3 3:c -3 +c4(id3) -4 .",
    );
}

#[test]
fn the_seal_of_a_call_goes_where_the_dialect_has_room_for_it() {
    check("+c0 0! 0:{} -0 .", "+c0(id0) 0! 0:{} -0 .");
    let front = |steps, expected: &str| {
        assert_eq!(run(Sequencer::with_signatures_in_front(), steps), expected, "{steps}");
    };
    front("+c0 0! 0:{} -0 .", "+h0 0! -0 +c1(id0) 1:{} -1 .");
    front("+h0 0:a -0 +c1 1! 1:{} -1 .", "+h0 0:a 0! -0 +c1(id1) 1:{} -1 .");
    front("+h0 0! -0 +c1 1! -1 .", "+h0 0! -0 +h1 1! -1 +c2(id1) -2 .");
    front("+h0 0:a -0 +t1 1:b +c2 2:{} -2 .", "+h0 0:a -0 +t1 1:b -1 +c2(id2) 2:{} -2 .");
    front("+c0 +c1 1! 1:x -1 -0 .", "+c0(id0) -0 +h1 1! -1 +c2(id1) 2:x -2 .");
    front("+t0 0:a 0! -0 +t1 1! -1 .", "+t0 0:a -0 .");
    front("+c0 .", "+c0(id0) -0 .");
    front("+h0 0:a -0 .", "+h0 0:a -0 .");
}

#[test]
fn what_has_no_block_or_comes_too_late_is_left_out() {
    check("0:a -0 +t0 0:b -0 0:c . +t1 1:d .", "+t0 0:b -0 .");
}

#[test]
fn candidates_do_not_wait_for_each_other() {
    let mut sequencer = Sequencer::default();
    let mut seen = Vec::new();
    let call = || Opening::Call { id: "c".into(), name: Name::plain("f") };
    for event in [
        Event::Open { choice: 0, block: 0, opening: call() },
        Event::Open { choice: 1, block: 0, opening: call() },
        Event::Close { choice: 1, block: 0 },
        Event::End,
    ] {
        sequencer.push(event, &mut |event| {
            seen.push(match event {
                Event::Open { choice, .. } => format!("+{choice}"),
                Event::Close { choice, .. } => format!("-{choice}"),
                other => format!("{other:?}"),
            });
        });
    }
    assert_eq!(seen, ["+0", "+1", "-1", "-0", "End"]);
}

#[test]
fn what_waits_has_a_bound() {
    let mut sequencer = Sequencer::default();
    let mut failures = 0;
    let mut each = |event: Event<'_>| failures += usize::from(matches!(event, Event::Failed(_)));
    for step in ["+c0", "+c1"] {
        sequencer.push(read(step), &mut each);
    }
    let text = "x".repeat(1 << 20);
    for _ in 0..40 {
        let text = text.as_str().into();
        sequencer.push(Event::Delta { choice: 0, block: 1, text }, &mut each);
    }
    assert_eq!(failures, 1);
}

fn step() -> impl Strategy<Value = String> {
    let block = 0..5_u32;
    prop_oneof![
        (prop::sample::select(vec!['t', 'h', 'r', 'c']), block.clone())
            .prop_map(|(kind, block)| format!("+{kind}{block}")),
        (block.clone(), "[a-z]").prop_map(|(block, text)| format!("{block}:{text}")),
        block.clone().prop_map(|block| format!("{block}!")),
        block.prop_map(|block| format!("-{block}")),
    ]
}

proptest! {
    #[test]
    fn one_block_is_open_at_a_time_and_numbers_have_no_gaps(
        steps in prop::collection::vec(step(), 0..40), front in any::<bool>()
    ) {
        let sequencer = if front { Sequencer::with_signatures_in_front() } else { Sequencer::default() };
        let shown = run(sequencer, &(steps.join(" ") + " ."));
        let (mut open, mut next) = (None, 0_u32);
        for step in shown.split_whitespace() {
            match read(step.split('(').next().unwrap()) {
                Event::Open { block, .. } => {
                    prop_assert_eq!((open, block), (None, next), "{}", shown);
                    open = Some(block);
                    next += 1;
                }
                Event::Close { block, .. } => prop_assert_eq!(open.take(), Some(block)),
                Event::Delta { block, .. } | Event::Signature { block, .. } => {
                    prop_assert_eq!(open, Some(block), "{}", shown);
                }
                _ => prop_assert_eq!(open, None),
            }
        }
    }

    #[test]
    fn each_block_says_all_it_was_given(steps in prop::collection::vec(step(), 0..40)) {
        // A text's own letters keep their order, wherever it was cut.
        let mut kinds = [None; 5];
        let mut want = String::new();
        for step in &steps {
            match read(step) {
                Event::Open { block, .. } => {
                    kinds[block as usize].get_or_insert(());
                }
                Event::Close { block, .. } => kinds[block as usize] = None,
                Event::Delta { block, text, .. } if kinds[block as usize].is_some() => {
                    want.push_str(&text);
                }
                _ => {}
            }
        }
        let shown = run(Sequencer::default(), &(steps.join(" ") + " ."));
        let said = shown.split_whitespace().filter_map(|step| step.split_once(':'));
        let mut got: Vec<char> = said.flat_map(|(_, text)| text.chars()).collect();
        let mut want: Vec<char> = want.chars().collect();
        got.sort_unstable();
        want.sort_unstable();
        prop_assert_eq!(got, want);
    }
}
