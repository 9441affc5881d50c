//! How a call is to go: the names in the head of the crate, read from text.

use std::time::Duration;

/// How one call goes. The default is to be well.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Behaviour {
    pub(crate) status: Option<u16>,
    pub(crate) retry_after: Option<u64>,
    pub(crate) quota: bool,
    pub(crate) html: bool,
    pub(crate) slow: Option<Duration>,
    pub(crate) hang: bool,
    pub(crate) drop: bool,
    pub(crate) pace: Option<Duration>,
    pub(crate) events: Option<usize>,
    pub(crate) size: Option<usize>,
    pub(crate) break_off: Option<(BreakOff, usize)>,
    pub(crate) error_event: Option<usize>,
    pub(crate) garbage: bool,
    pub(crate) empty: bool,
    pub(crate) gzip: bool,
    pub(crate) split: Option<usize>,
    pub(crate) crlf: bool,
    pub(crate) comments: bool,
    pub(crate) no_usage: bool,
    pub(crate) no_done: bool,
    pub(crate) interim: bool,
    pub(crate) calls: Option<u64>,
    pub(crate) strict: bool,
    pub(crate) sealed: bool,
    pub(crate) reasoning: bool,
}

/// In which way an answer stops in its middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BreakOff {
    Stall,
    Reset,
    Close,
    End,
}

impl Behaviour {
    /// Reads behaviours parted by dots or commas; what is none is passed over, so that any key
    /// is a text of this kind.
    pub fn parse(text: &str) -> Behaviour {
        let mut behaviour = Behaviour::default();
        for piece in text.split(['.', ',']) {
            let (name, number) = match piece.trim().split_once('=') {
                Some((name, number)) => (name, number.parse().ok()),
                None => (piece.trim(), None),
            };
            behaviour.set(name, number);
        }
        behaviour
    }

    /// Whether it is like any other call.
    pub fn is_well(&self) -> bool {
        *self == Behaviour::default()
    }

    fn set(&mut self, name: &str, number: Option<u64>) {
        let millis = |or: u64| Some(Duration::from_millis(number.unwrap_or(or)));
        let count = |or: usize| number.map_or(or, |n| usize::try_from(n).unwrap_or(usize::MAX));
        match name {
            "quota" => self.quota = true,
            "html" => self.html = true,
            "slow" => self.slow = millis(2000),
            "hang" => self.hang = true,
            "drop" => self.drop = true,
            "pace" => self.pace = millis(10),
            "events" => self.events = Some(count(10)),
            "size" => self.size = Some(count(100)),
            "stall" => self.break_off = Some((BreakOff::Stall, count(3))),
            "reset" => self.break_off = Some((BreakOff::Reset, count(3))),
            "close" => self.break_off = Some((BreakOff::Close, count(3))),
            "end" => self.break_off = Some((BreakOff::End, count(3))),
            "error-event" => self.error_event = Some(count(0)),
            "garbage" => self.garbage = true,
            "empty" => self.empty = true,
            "gzip" => self.gzip = true,
            "split" => self.split = Some(count(1).max(1)),
            "crlf" => self.crlf = true,
            "comments" => self.comments = true,
            "no-usage" => self.no_usage = true,
            "no-done" => self.no_done = true,
            "interim" => self.interim = true,
            "calls" => self.calls = number,
            "strict" => self.strict = true,
            "sealed" => (self.strict, self.sealed) = (true, true),
            "reasoning" => self.reasoning = true,
            status => self.set_status(status, number),
        }
    }

    fn set_status(&mut self, name: &str, number: Option<u64>) {
        if let (3, Ok(status @ 400..=599)) = (name.len(), name.parse()) {
            self.status = Some(status);
            self.retry_after = match (status, number) {
                (429, None) => Some(1),
                (_, given) => given,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_says_how_its_calls_go() {
        let behaviour = Behaviour::parse("sk-demo-7.429=30.calls=2");
        assert_eq!(behaviour.status, Some(429));
        assert_eq!((behaviour.retry_after, behaviour.calls), (Some(30), Some(2)));
        assert_eq!(Behaviour::parse("sk.429").retry_after, Some(1));
        assert_eq!(Behaviour::parse("sk.503").retry_after, None);
        assert_eq!(Behaviour::parse("stall=2, pace=5").pace, Some(Duration::from_millis(5)));
        assert_eq!(Behaviour::parse("reset").break_off, Some((BreakOff::Reset, 3)));
        assert_eq!(Behaviour::parse("split=0").split, Some(1));
    }

    #[test]
    fn any_other_key_is_well() {
        for key in ["sk-proj-abc", "AIzaSyD-4290", "", "sk.0429", "sk.399", "sk.600", "x.y=1"] {
            assert!(Behaviour::parse(key).is_well(), "{key}");
        }
    }
}
