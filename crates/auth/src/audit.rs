//! The chain of audit entries: each has an HMAC over itself and the previous one, so that with
//! access to the database alone no entry can be changed or removed unnoticed.

use std::fmt;

use ring::hmac;

/// Computes the links of the chain.
#[derive(Clone)]
pub struct AuditChain {
    key: hmac::Key,
}

impl AuditChain {
    /// The predecessor of the first entry.
    pub const ROOT: [u8; 32] = [0; 32];

    pub(crate) fn new(key: hmac::Key) -> Self {
        Self { key }
    }

    /// Returns the link of `entry`, which follows the entry with the link `previous`. Verification
    /// must use the same bytes.
    pub fn link(&self, previous: &[u8; 32], entry: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(previous);
        context.update(entry);
        context.sign().as_ref().try_into().expect("HMAC-SHA-256 is 32 bytes")
    }

    /// Returns the index of the first entry with a wrong link, if there is one.
    pub fn first_break<'a>(
        &self,
        entries: impl IntoIterator<Item = (&'a [u8], &'a [u8; 32])>,
    ) -> Option<usize> {
        let mut previous = Self::ROOT;
        entries.into_iter().position(|(entry, link)| {
            let follows = self.link(&previous, entry) == *link;
            previous = *link;
            !follows
        })
    }
}

impl fmt::Debug for AuditChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditChain(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MasterKey;

    fn chained(chain: &AuditChain, entries: &[&'static str]) -> Vec<(&'static [u8], [u8; 32])> {
        let mut previous = AuditChain::ROOT;
        let link = |entry: &&'static str| {
            previous = chain.link(&previous, entry.as_bytes());
            (entry.as_bytes(), previous)
        };
        entries.iter().map(link).collect()
    }

    fn first_break(chain: &AuditChain, entries: &[(&'static [u8], [u8; 32])]) -> Option<usize> {
        chain.first_break(entries.iter().map(|(entry, link)| (*entry, link)))
    }

    #[test]
    fn a_whole_chain_has_no_break() {
        let chain = MasterKey::generate().audit_chain();
        assert_eq!(first_break(&chain, &chained(&chain, &["a", "b", "c"])), None);
        assert_eq!(first_break(&chain, &[]), None);
    }

    #[test]
    fn a_changed_a_missing_and_a_moved_entry_break_it() {
        let chain = MasterKey::generate().audit_chain();
        let whole = chained(&chain, &["a", "b", "c", "d"]);

        let mut changed = whole.clone();
        changed[1].0 = b"x";
        assert_eq!(first_break(&chain, &changed), Some(1));

        let mut missing = whole.clone();
        missing.remove(2);
        assert_eq!(first_break(&chain, &missing), Some(2));

        let mut moved = whole.clone();
        moved.swap(0, 1);
        assert_eq!(first_break(&chain, &moved), Some(0));

        let stranger = MasterKey::generate().audit_chain();
        assert_eq!(first_break(&stranger, &whole), Some(0));
    }
}
