//! Why the others could not be reached.

/// Why the others could not be reached. Nobody needs to act: notices and numbers are only hints.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// It is not an address of Redis.
    #[error("the address of redis is not valid")]
    Address,
    /// Redis did not answer in time.
    #[error("redis did not answer in time")]
    Late,
    /// Redis failed a moment ago and is left alone for now.
    #[error("redis is down")]
    Open,
    /// Redis said no, or the connection broke.
    #[error("redis failed: {0}")]
    Failed(String),
}
