//! What several instances share: counters and notices.
