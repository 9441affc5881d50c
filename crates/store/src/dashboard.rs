//! Numbers over a time range, from the hourly statistics.

use crate::*;

impl Store {
    /// What happened in `range`: everywhere, or with the service keys of one user.
    pub async fn dashboard(&self, range: TimeRange, owner: Option<UserId>) -> Result<Dashboard> {
        Err(StoreError::Unavailable("not built yet".into()))
    }
}
