//! The tables as SeaORM sees them.
