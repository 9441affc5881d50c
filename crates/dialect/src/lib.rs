//! The providers' wire formats: pure functions over bytes.
