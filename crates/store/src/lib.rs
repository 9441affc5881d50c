//! Everything that outlives the process; nobody else opens a database.
