//! What the mock remembers of the requests that came.

use std::{collections::VecDeque, net::SocketAddr, time::Instant};

use bytes::Bytes;

/// Bodies are kept up to so many bytes in all; the oldest go first.
const BODIES_KEPT: usize = 64 << 20;

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Counts from 1.
    pub number: u64,
    /// The method.
    pub method: String,
    /// The path with its query, as it was written.
    pub target: String,
    /// Names as they were written, in their order.
    pub headers: Vec<(String, String)>,
    /// The body without its framing; empty when it had to be forgotten.
    pub body: Bytes,
    /// How long the body was.
    pub body_length: usize,
    /// The provider key that it carried.
    pub key: Option<String>,
    /// Who was connected; the same for requests on one connection.
    pub peer: SocketAddr,
    /// When it was there with its body.
    pub at: Instant,
    /// How the answer ended, once it has.
    pub ending: Option<(Ending, Instant)>,
}

/// How an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was sent as it was meant to be.
    Sent,
    /// Whoever asked had gone before that.
    ClientGone,
}

impl Received {
    /// The value of a header, by its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The path without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The body as JSON; null where it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The last requests, up to a number of them and a sum of their bodies.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) all: VecDeque<Received>,
    bodies: usize,
}

impl Records {
    pub(crate) fn add(&mut self, received: Received, keep: usize) {
        self.bodies += received.body.len();
        self.all.push_back(received);
        while self.all.len() > keep {
            let gone = self.all.pop_front();
            self.bodies -= gone.map_or(0, |gone| gone.body.len());
        }
        for old in &mut self.all {
            if self.bodies <= BODIES_KEPT {
                break;
            }
            self.bodies -= std::mem::take(&mut old.body).len();
        }
    }

    pub(crate) fn end(&mut self, number: u64, ending: Ending) {
        if let Some(received) = self.all.iter_mut().rev().find(|known| known.number == number) {
            received.ending = Some((ending, Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(number: u64, body: usize) -> Received {
        Received {
            number,
            method: "POST".into(),
            target: "/a?b".into(),
            headers: vec![("X-One".into(), "1".into())],
            body: vec![0; body].into(),
            body_length: body,
            key: None,
            peer: "127.0.0.1:1".parse().unwrap(),
            at: Instant::now(),
            ending: None,
        }
    }

    #[test]
    fn only_the_last_are_kept() {
        let mut records = Records::default();
        for number in 0..5 {
            records.add(received(number, 10), 3);
        }
        let numbers: Vec<u64> = records.all.iter().map(|r| r.number).collect();
        assert_eq!((numbers, records.bodies), (vec![2, 3, 4], 30));
        records.end(3, Ending::ClientGone);
        assert_eq!(records.all[1].ending.unwrap().0, Ending::ClientGone);
    }

    #[test]
    fn bodies_are_forgotten_when_they_are_too_many() {
        let mut records = Records::default();
        for number in 0..3 {
            records.add(received(number, 30 << 20), 10);
        }
        let kept: Vec<usize> = records.all.iter().map(|r| r.body.len() >> 20).collect();
        assert_eq!(kept, [0, 30, 30]);
    }

    #[test]
    fn headers_are_found_in_any_case() {
        let one = received(1, 0);
        assert_eq!((one.header("x-one"), one.header("y"), one.path()), (Some("1"), None, "/a"));
        assert!(one.json().is_null());
    }
}
