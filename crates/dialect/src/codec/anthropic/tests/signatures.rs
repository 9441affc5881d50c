//! Signatures of our own: carried through a client's history, and cut out of it.

use bytes::Bytes;

use serde_json::json;

use super::{ANTHROPIC, asking, decode, read};
use crate::{
    OWN_MARK, Reply, Signature, Vendor,
    chat::{Answer, Block, Choice, Finish, Name, Piece},
    splice,
};

/// A history without what the gateway put into it.
#[track_caller]
fn check_cut(body: &str, expected: &str) {
    let own = Signature::unsigned().wrapped();
    let body = body.replace("OWN", &own);
    let edits = ANTHROPIC.wrapped_signatures_of(body.as_bytes()).unwrap();
    let cut = splice(&Bytes::from(body), &edits);
    assert_eq!(std::str::from_utf8(&cut).unwrap(), expected);
}

#[test]
fn proofs_of_our_own_are_cut_out_and_nothing_else() {
    let whole = |content: &str| {
        format!(
            r#"{{ "x": 1.0, "messages" : [{{"role":"user","content":"OWN"}} , {{"role":"assistant","content":[{content}]}}] }}"#
        )
    };
    let own = r#"{"type":"thinking","thinking":"a","signature":"OWN"}"#;
    let hidden = r#"{"type":"redacted_thinking","data":"OWN"}"#;
    let text = r#"{"type": "text", "text": "x"}"#;
    let signed = r#"{"type":"thinking","thinking":"a","signature":"EqQB"}"#;
    let marked = Signature::unsigned().wrapped();
    let expected = |content: &str| whole(content).replace("OWN", &marked);
    let rows = [
        (format!("{own}, {text}"), text.to_owned()),
        (format!("{text} ,{own}"), text.to_owned()),
        (format!("{text}, {own} , {hidden},\n{signed}"), format!("{text}, {signed}")),
        (format!("{own},{text},{own},{text}"), format!("{text},{text}")),
        (text.to_owned(), text.to_owned()),
    ];
    for (content, left) in rows {
        check_cut(&whole(&content), &expected(&left));
    }
    let turn = |role: &str, content: &str| format!(r#"{{"role":"{role}","content":[{content}]}}"#);
    let user = turn("user", text);
    check_cut(
        &format!(r#"{{"messages":[{user}, {}, {user}]}}"#, turn("assistant", own)),
        &format!(r#"{{"messages":[{user}, {user}]}}"#),
    );
    check_cut(&format!(r#"{{"messages":[{}]}}"#, turn("assistant", own)), r#"{"messages":[]}"#);
    let cited = |sources: &str| {
        let block = format!(r#"{{"type":"text","text":"x","citations":[{sources}]}}"#);
        format!(r#"{{"messages":[{}]}}"#, turn("assistant", &block))
    };
    let (ours, theirs) = (r#"{"encrypted_index":"OWN"}"#, r#"{"encrypted_index":"E"}"#);
    check_cut(&cited(&format!("{ours},{theirs}")), &cited(theirs));
}

#[test]
fn a_proof_that_came_through_a_client_is_put_back_on_its_call() {
    let gemini = Signature::new(Vendor::Gemini, "g+/=");
    let call = || {
        let signature = Some(gemini.clone());
        Block::Call { id: "c".into(), name: Name::plain("f"), input: "{}".into(), signature }
    };
    let blocks = vec![Block::Thinking { text: "hm".into(), signature: None }, call(), call()];
    let choice = Choice { blocks, finish: Finish::Calls, logprobs: Vec::new() };
    let answer = Answer { choices: vec![choice], usage: None };
    let body = read(&ANTHROPIC.encode_answer(&answer, &Reply::default()));
    let asked = asking(json!({"messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": body["content"]},
    ]}));
    assert!(asked.to_string().contains(OWN_MARK));
    let asked = asked.to_string();
    let request = decode(asked.as_bytes()).unwrap();
    let [
        Piece::Thinking { text, signature: None },
        Piece::Call { signature: one, .. },
        Piece::Call { signature: two, .. },
    ] = &*request.turns[1].pieces
    else {
        panic!("{request:?}")
    };
    assert_eq!((&**text, one.as_ref(), two.as_ref()), ("hm", Some(&gemini), Some(&gemini)));
}
