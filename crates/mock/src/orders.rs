//! What a user orders the mock to do in plain words, so that a test can script any client, also one
//! whose tools it does not know: `call NAME {…} and NAME {…} then NAME {…}`.
//!
//! Calls joined by `and` go out together; `then` waits for their results first.

use serde_json::Value;

/// A tool and what it is to be called with.
pub(crate) type Order = (String, Value);

/// The calls that `text` orders for this round; rounds are counted by the results that came since.
/// None when it orders nothing at all, so that the mock may do as it likes.
pub(crate) fn round(text: &str, round: usize) -> Option<Vec<Order>> {
    let rounds = text.match_indices("call ").find_map(|(at, word)| read(&text[at + word.len()..]));
    rounds.map(|mut rounds| if round < rounds.len() { rounds.swap_remove(round) } else { vec![] })
}

fn read(text: &str) -> Option<Vec<Vec<Order>>> {
    let (first, mut rest) = order(text)?;
    let mut rounds = vec![vec![first]];
    loop {
        let together = rest.trim_start().strip_prefix("and ").and_then(order);
        let later = rest.trim_start().strip_prefix("then ").and_then(order);
        match (together, later, rounds.last_mut()) {
            (Some((next, left)), _, Some(last)) => {
                last.push(next);
                rest = left;
            }
            (_, Some((next, left)), _) => {
                rounds.push(vec![next]);
                rest = left;
            }
            _ => return Some(rounds),
        }
    }
}

/// A name and an object, and the text behind them.
fn order(text: &str) -> Option<(Order, &str)> {
    let text = text.trim_start();
    let (name, rest) = text.split_at(text.find(|c: char| c.is_whitespace() || c == '{')?);
    let rest = rest.trim_start();
    let mut values = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
    let input = values.next()?.ok().filter(Value::is_object)?;
    Some(((name.to_owned(), input), &rest[values.byte_offset()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_read_from_any_text() {
        let check = |text: &str, at: usize, want: Option<&[(&str, &str)]>| {
            let found = round(text, at).map(|orders| {
                orders.into_iter().map(|(name, input)| format!("{name}{input}")).collect::<Vec<_>>()
            });
            let want =
                want.map(|all| all.iter().map(|(name, input)| format!("{name}{input}")).collect());
            assert_eq!(found, want, "{text} in round {at}");
        };
        let long =
            r#"<note>call me</note> Please call a {"x": {"y": "}"}} and b {} then c {"z":[1]}."#;
        check(long, 0, Some(&[("a", r#"{"x":{"y":"}"}}"#), ("b", "{}")]));
        check(long, 1, Some(&[("c", r#"{"z":[1]}"#)]));
        check(long, 2, Some(&[]));
        check("call me maybe", 0, None);
        check("call x [1]", 0, None);
        check("hi", 0, None);
    }
}
