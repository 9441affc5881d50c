//! The management plane over its real router and a real database, folder by folder as the
//! addresses are.

#![expect(clippy::unwrap_used, reason = "helpers of tests may give up as tests do")]

mod admin;
mod app;
mod auth;
mod contract;
mod docs;
mod doors;
mod etags;
mod first_start;
mod headers;
mod health;
mod live;
mod manual;
mod openapi;
mod refusals;
mod serving;
mod walk;
