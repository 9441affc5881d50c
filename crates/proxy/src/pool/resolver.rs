//! The addresses of one host name: resolved when a connection needs them, believed for a moment, and
//! kept while the name cannot be resolved. At any time one lookup of a name is under way, however
//! many calls wait for it.

use std::{
    io,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::watch;

/// How long a resolved name is believed.
const FRESH_FOR: Duration = Duration::from_secs(15);
/// Until then it is used all the same, and resolved again meanwhile.
const STALE_FOR: Duration = Duration::from_secs(300);
/// How long a call waits for an answer about a name whose last address is older than that.
const PATIENCE: Duration = Duration::from_secs(1);
/// A name that could not be resolved is not looked up again before that.
const FAILED_FOR: Duration = Duration::from_secs(1);
/// A lookup that takes longer is given up.
const LOOKUP_MAX: Duration = Duration::from_secs(30);
/// Most addresses of one name that are remembered.
const ADDRESSES_MAX: usize = 16;

/// Finds the addresses of a host and port.
pub(crate) type Lookup =
    Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> + Send + Sync>;

/// The lookup of the operating system.
pub(crate) fn system() -> Lookup {
    Arc::new(|host, port| {
        Box::pin(async move {
            let found = tokio::net::lookup_host((host, port)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    })
}

/// One host name.
#[derive(Debug)]
pub(crate) struct Name {
    host: String,
    port: u16,
    known: Mutex<Known>,
    /// Grows with each lookup that ended.
    lookups: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Known {
    found: Option<Found>,
    failed: Option<Instant>,
    resolving: bool,
}

/// What a name was resolved to.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    at: Instant,
    pub(crate) addresses: Arc<[IpAddr]>,
}

impl Name {
    pub(crate) fn new(host: &str, port: u16) -> Arc<Self> {
        let (known, lookups) = (Mutex::default(), watch::Sender::new(0));
        Arc::new(Self { host: host.to_owned(), port, known, lookups })
    }

    /// Its addresses; none where it was never resolved and cannot be.
    pub(crate) async fn found(self: &Arc<Self>, lookup: &Lookup) -> Option<Found> {
        let (found, failing) = self.known();
        let age = found.as_ref().map(|found| found.at.elapsed());
        match age {
            Some(age) if age < FRESH_FOR => return found,
            Some(age) if age < STALE_FOR || failing => {
                self.look_up(lookup);
                return found;
            }
            Some(_) => drop(tokio::time::timeout(PATIENCE, self.looked_up(lookup)).await),
            None => self.looked_up(lookup).await,
        }
        self.known().0
    }

    /// Its addresses after no connection to those of `before` could be made: it may have moved.
    pub(crate) async fn anew(self: &Arc<Self>, lookup: &Lookup, before: &Found) -> Option<Found> {
        let (found, _) = self.known();
        if let Some(found) = found.filter(|found| found.at > before.at) {
            return Some(found);
        }
        self.looked_up(lookup).await;
        self.known().0.filter(|found| found.at > before.at)
    }

    /// What is known, and whether the last lookup failed.
    fn known(&self) -> (Option<Found>, bool) {
        let known = self.known.lock();
        (known.found.clone(), known.failed.is_some())
    }

    /// Waits for a lookup, unless one failed just now.
    async fn looked_up(self: &Arc<Self>, lookup: &Lookup) {
        let mut ended = self.lookups.subscribe();
        if self.look_up(lookup) {
            // The sender lives as long as this name.
            let _ = ended.changed().await;
        }
    }

    /// Begins a lookup where none is under way; false where one failed just now. It goes on when
    /// whoever waits for it gives up, so that calls do not start one after the other.
    fn look_up(self: &Arc<Self>, lookup: &Lookup) -> bool {
        let mut known = self.known.lock();
        if known.failed.is_some_and(|failed| failed.elapsed() < FAILED_FOR) {
            return false;
        }
        if std::mem::replace(&mut known.resolving, true) {
            return true;
        }
        let (this, found) = (self.clone(), lookup(self.host.clone(), self.port));
        tokio::spawn(async move {
            let found = tokio::time::timeout(LOOKUP_MAX, found).await;
            this.ended(found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())));
        });
        true
    }

    fn ended(&self, found: io::Result<Vec<IpAddr>>) {
        let mut known = self.known.lock();
        known.resolving = false;
        match found {
            Ok(mut addresses) if !addresses.is_empty() => {
                if known.failed.take().is_some() {
                    tracing::info!(
                        host = self.host,
                        "the host name `{}` is resolved again",
                        self.host
                    );
                }
                addresses.truncate(ADDRESSES_MAX);
                known.found = Some(Found { at: Instant::now(), addresses: addresses.into() });
            }
            _ => {
                let kept = known.found.is_some();
                if known.failed.replace(Instant::now()).is_none() && kept {
                    tracing::warn!(
                        host = self.host,
                        "the host name `{}` cannot be resolved; its last addresses stay in use",
                        self.host,
                    );
                }
            }
        }
        drop(known);
        self.lookups.send_modify(|lookups| *lookups += 1);
    }

    /// Lets what is known be so much older.
    #[cfg(test)]
    pub(crate) fn age(&self, by: Duration) {
        let mut known = self.known.lock();
        let older = |at: &mut Instant| *at = at.checked_sub(by).unwrap();
        known.found.iter_mut().for_each(|found| older(&mut found.at));
        known.failed.iter_mut().for_each(older);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A lookup whose answer a test changes, and how often it was asked.
    #[derive(Clone, Default)]
    struct Dns {
        answer: Arc<Mutex<Option<Vec<IpAddr>>>>,
        asked: Arc<AtomicUsize>,
    }

    impl Dns {
        fn says(&self, addresses: &[[u8; 4]]) {
            *self.answer.lock() = Some(addresses.iter().map(|ip| IpAddr::from(*ip)).collect());
        }

        fn fails(&self) {
            *self.answer.lock() = None;
        }

        fn lookup(&self) -> Lookup {
            let this = self.clone();
            Arc::new(move |_, _| {
                let this = this.clone();
                Box::pin(async move {
                    this.asked.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    this.answer.lock().clone().ok_or_else(|| io::Error::other("no such name"))
                })
            })
        }
    }

    async fn addresses(name: &Arc<Name>, dns: &Dns) -> Option<Vec<IpAddr>> {
        name.found(&dns.lookup()).await.map(|found| found.addresses.to_vec())
    }

    /// Waits until the lookups that were begun have ended.
    async fn settled(name: &Name) {
        while name.known.lock().resolving {
            tokio::task::yield_now().await;
        }
    }

    const OLD: [u8; 4] = [192, 0, 2, 1];
    const NEW: [u8; 4] = [192, 0, 2, 2];

    #[tokio::test]
    async fn the_last_address_is_kept_while_a_name_cannot_be_resolved() {
        let (dns, name) = (Dns::default(), Name::new("provider.test", 443));
        assert_eq!(addresses(&name, &dns).await, None, "it was never resolved");
        name.age(FAILED_FOR);
        dns.says(&[OLD]);
        let old = Some(vec![IpAddr::from(OLD)]);
        assert_eq!(addresses(&name, &dns).await, old);
        dns.fails();
        for _ in 0..3 {
            name.age(Duration::from_secs(3600));
            assert_eq!(addresses(&name, &dns).await, old);
            settled(&name).await;
        }
        dns.says(&[NEW]);
        name.age(FAILED_FOR);
        addresses(&name, &dns).await;
        settled(&name).await;
        assert_eq!(addresses(&name, &dns).await, Some(vec![IpAddr::from(NEW)]));
    }

    #[tokio::test]
    async fn a_name_that_moved_is_followed_after_a_moment_and_at_once_when_asked_anew() {
        let (dns, name) = (Dns::default(), Name::new("provider.test", 443));
        dns.says(&[OLD]);
        let before = name.found(&dns.lookup()).await.unwrap();
        dns.says(&[NEW]);
        assert_eq!(addresses(&name, &dns).await, Some(vec![IpAddr::from(OLD)]), "it is believed");
        name.age(FRESH_FOR);
        assert_eq!(addresses(&name, &dns).await, Some(vec![IpAddr::from(OLD)]), "nobody waits");
        settled(&name).await;
        assert_eq!(addresses(&name, &dns).await, Some(vec![IpAddr::from(NEW)]));
        assert_eq!(
            name.anew(&dns.lookup(), &before).await.unwrap().addresses[..],
            [IpAddr::from(NEW)]
        );
        dns.says(&[OLD]);
        let before = name.found(&dns.lookup()).await.unwrap();
        let anew = name.anew(&dns.lookup(), &before).await.unwrap();
        assert_eq!(anew.addresses[..], [IpAddr::from(OLD)], "it is looked up at once");
    }

    #[tokio::test]
    async fn one_lookup_is_under_way_however_many_wait_and_what_it_finds_is_bounded() {
        let (dns, name) = (Dns::default(), Name::new("provider.test", 443));
        dns.says(&[OLD; 1000]);
        let lookup = dns.lookup();
        let all = futures_util::future::join_all((0..100).map(|_| name.found(&lookup))).await;
        assert!(all.iter().all(Option::is_some));
        assert_eq!(dns.asked.load(Ordering::SeqCst), 1);
        assert_eq!(all[0].as_ref().unwrap().addresses.len(), ADDRESSES_MAX);
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_resolved_is_not_looked_up_for_every_call() {
        let (dns, name) = (Dns::default(), Name::new("provider.test", 443));
        for _ in 0..50 {
            assert_eq!(addresses(&name, &dns).await, None);
        }
        assert_eq!(dns.asked.load(Ordering::SeqCst), 1);
    }
}
