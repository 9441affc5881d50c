//! Pairs results with calls in a history without ids.
//!
//! Generated ids are counted, so that a growing history keeps its ids. A result without an id
//! belongs to the first unanswered call of its name, in the latest turn that has one.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet, VecDeque},
};

/// The calls of one name, by turn and in order.
type Turns<'a> = Vec<(usize, VecDeque<Cow<'a, str>>)>;

/// The calls of a history.
#[derive(Debug, Default)]
pub(super) struct Pairs<'a> {
    /// The unanswered calls, by name.
    open: HashMap<Cow<'a, str>, Turns<'a>>,
    known: HashSet<Cow<'a, str>>,
    answered: HashSet<Cow<'a, str>>,
    made: usize,
    turn: usize,
}

impl<'a> Pairs<'a> {
    /// Begins a turn of the model.
    pub(super) fn begin_turn(&mut self) {
        self.turn += 1;
    }

    /// Returns the id of a call.
    pub(super) fn call(&mut self, name: &Cow<'a, str>, id: Option<Cow<'a, str>>) -> Cow<'a, str> {
        let id = id.unwrap_or_else(|| self.make());
        self.known.insert(id.clone());
        // An id that is reused in a later turn is a new call.
        self.answered.remove(&id);
        let turns = self.open.entry(name.clone()).or_default();
        match turns.last_mut() {
            Some((turn, ids)) if *turn == self.turn => ids.push_back(id.clone()),
            _ => turns.push((self.turn, VecDeque::from([id.clone()]))),
        }
        id
    }

    /// Returns the id of the call of a result.
    pub(super) fn result(&mut self, name: &str, id: Option<Cow<'a, str>>) -> Cow<'a, str> {
        let id = match id {
            Some(id) if self.known.contains(&id) => id,
            given => self.next_open(name).or(given).unwrap_or_else(|| self.make()),
        };
        self.answered.insert(id.clone());
        id
    }

    fn next_open(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let turns = self.open.get_mut(name)?;
        while let Some((_, ids)) = turns.last_mut() {
            while let Some(id) = ids.pop_front() {
                if !self.answered.contains(&id) {
                    return Some(id);
                }
            }
            turns.pop();
        }
        None
    }

    fn make(&mut self) -> Cow<'a, str> {
        loop {
            self.made += 1;
            let id = Cow::Owned(format!("call_history_{}", self.made));
            if !self.known.contains(&id) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c` is a call, `r` a result, `t` a new turn; a name and perhaps an id follow.
    fn check(history: &[&'static str], expected: &[&str]) {
        let mut pairs = Pairs::default();
        let mut ids = Vec::new();
        for step in history {
            let mut words = step.split(' ');
            let (kind, name) = (words.next().unwrap(), words.next().unwrap_or_default());
            let id = words.next().map(Cow::Borrowed);
            match kind {
                "c" => ids.push(pairs.call(&Cow::Borrowed(name), id)),
                "r" => ids.push(pairs.result(name, id)),
                _ => pairs.begin_turn(),
            }
        }
        assert_eq!(ids, expected, "{history:?}");
    }

    #[test]
    fn results_find_their_calls_by_name_and_order() {
        let [one, two, three] = ["call_history_1", "call_history_2", "call_history_3"];
        check(&["t", "c f", "c f", "r f", "r f"], &[one, two, one, two]);
        check(&["t", "c f", "c g", "r g", "r f"], &[one, two, two, one]);
        check(&["t", "c f", "t", "c f", "r f", "t", "c f", "r f"], &[one, two, two, three, three]);
        check(&["t", "c f x", "c f", "r f x", "r f"], &["x", one, "x", one]);
        check(&["t", "c f x", "c f y", "r f", "r f y"], &["x", "y", "x", "y"]);
        check(&["t", "c f", "r g", "r f z"], &[one, two, one]);
        check(&["t", "r f z"], &["z"]);
        check(&["t", "c f x", "r f x", "t", "c f x", "r f x"], &["x"; 4]);
        check(&["t", "c f call_history_1", "c f"], &[one, two]);
    }
}
