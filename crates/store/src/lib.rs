//! Everything that outlives the process: configuration, users, log entries, statistics, the
//! audit trail. Nobody else opens a database, and no database error leaves this crate.
//!
//! What is not here: counting for limits (`cluster`), the state of running keys (`proxy::health`)
//! and the journal (`proxy::journal`), whose entries come here in batches.

mod error;
mod records;
mod settings;

pub use error::{Result, StoreError};
pub use records::*;
pub use settings::Settings;
