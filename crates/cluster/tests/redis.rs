//! Instances that meet in a real Redis.

#![expect(clippy::unwrap_used, reason = "in a test a panic is an answer")]

mod redis {
    mod counters;
    mod equal;
    mod harness;
    mod notices;
}
