//! Errors of the connection to the other instances.

/// The other instances cannot be reached. No caller has to act: notices and counts are hints.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The address is not one of Redis.
    #[error("the address of redis is not valid")]
    Address,
    /// Redis did not answer in time.
    #[error("redis did not answer in time")]
    Late,
    /// The circuit breaker of Redis is open.
    #[error("redis is down")]
    Open,
    /// Redis returned an error, or the connection broke.
    #[error("redis failed: {0}")]
    Failed(String),
}
