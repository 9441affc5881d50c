//! Fixtures and a gateway in a box; only ever a dev-dependency.

pub mod postgres;

pub use postgres::Postgres;
