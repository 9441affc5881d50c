//! What the permit of a call knows of rules that look at the rest of its answer. The rules themselves
//! are the business of `attempt::judge`.

use std::fmt::Debug;

use super::entry::Entry;

/// Judges what is still to come of an answer.
pub(crate) trait Judging: Debug + Send + Sync {
    /// Judges by an event of the stream.
    fn event(&mut self, entry: &mut Entry, data: &[u8]);

    /// Judges by what is known at the end of the attempt: the body, as far as it was seen, and where
    /// it `streams` each of the events in it.
    fn end(&self, entry: &mut Entry, body: Option<&[u8]>, streams: bool);
}
