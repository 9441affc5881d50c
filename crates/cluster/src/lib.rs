//! State that several instances share: notices of revisions, the number of instances, and counts of
//! limits.
//!
//! One instance alone needs nothing ([`Cluster::alone`]); many meet in Redis ([`Cluster::redis`]).
//! Nothing here is the truth about anything: a notice that is lost costs the seconds until the
//! others look by themselves, and while Redis is down the last known number of instances stands
//! and each counts by itself.
//! No call waits longer than [`DEADLINE`], and none at all while the breaker is open.

mod breaker;
mod counters;
mod error;
mod redis;

use std::sync::Arc;
use std::time::Duration;

use ::redis::IntoConnectionInfo;
use domain::Revision;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::watch;
use uuid::Uuid;

pub use counters::{Ask, Counters, Held, Measure, Over, Used};
pub use error::ClusterError;

/// The default deadline of a call to another machine.
pub const DEADLINE: Duration = Duration::from_millis(50);

/// The settings of a cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of Redis (`redis://…`, `rediss://…`), with its password.
    pub url: SecretString,
    /// The name of the cluster, which separates clusters on one Redis.
    pub name: String,
    /// The interval of heartbeats. An instance is considered gone after three missed ones.
    pub beat: Duration,
    /// The deadline of a call. Client calls wait for it, so it is short: [`DEADLINE`].
    pub deadline: Duration,
}

impl Settings {
    /// Returns the defaults for `url`.
    pub fn new(url: SecretString) -> Settings {
        let name = "default".to_owned();
        Settings { url, name, beat: Duration::from_secs(5), deadline: DEADLINE }
    }
}

/// This instance in the cluster.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Place>);

#[derive(Debug)]
enum Place {
    Memory(Member),
    Redis(redis::Member),
}

/// An instance in the same process as others.
#[derive(Debug)]
struct Member {
    id: Uuid,
    heard: watch::Sender<Revision>,
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Hub(Mutex<Vec<(Uuid, watch::Sender<Revision>)>>);

impl Cluster {
    /// Creates an instance without others.
    pub fn alone() -> Cluster {
        Cluster::join(Arc::default())
    }

    /// Creates another instance in the same process.
    pub fn beside(&self) -> Option<Cluster> {
        match &*self.0 {
            Place::Memory(member) => Some(Cluster::join(Arc::clone(&member.hub))),
            Place::Redis(_) => None,
        }
    }

    fn join(hub: Arc<Hub>) -> Cluster {
        let id = Uuid::new_v4();
        let heard = watch::Sender::new(Revision(0));
        hub.0.lock().push((id, heard.clone()));
        Cluster(Arc::new(Place::Memory(Member { id, heard, hub })))
    }

    /// An instance among those that know the same Redis. Returns at once, whether Redis is there
    /// or not; must be called inside a Tokio runtime, on which the heart beats until the last
    /// clone is dropped.
    pub fn redis(settings: &Settings) -> Result<Cluster, ClusterError> {
        let info = settings.url.expose_secret().into_connection_info();
        let info = info.map_err(|_| ClusterError::Address)?;
        let member = redis::Member::join(info, settings)?;
        Ok(Cluster(Arc::new(Place::Redis(member))))
    }

    /// Announces `revision` to the other instances, without confirmation.
    ///
    /// # Errors
    ///
    /// Returns why Redis could not be reached.
    pub async fn announce(&self, revision: Revision) -> Result<(), ClusterError> {
        match &*self.0 {
            Place::Memory(member) => {
                let members = member.hub.0.lock();
                let others = members.iter().filter(|(id, _)| *id != member.id);
                others.for_each(|(_, heard)| heard.send_modify(|last| *last = revision));
                Ok(())
            }
            Place::Redis(member) => member.announce(revision).await,
        }
    }

    /// Returns the revision announced last by another instance. It changes, possibly to the same
    /// value, whenever the newest revision should be read, also after notices may have been missed.
    pub fn announced(&self) -> watch::Receiver<Revision> {
        match &*self.0 {
            Place::Memory(member) => member.heard.subscribe(),
            Place::Redis(member) => member.announced(),
        }
    }

    /// Returns the number of known instances, including this one.
    pub fn known_instances(&self) -> u32 {
        match &*self.0 {
            Place::Memory(member) => member.hub.0.lock().len() as u32,
            Place::Redis(member) => member.known_instances(),
        }
    }

    /// Whether the other instances can be reached.
    pub fn is_connected(&self) -> bool {
        match &*self.0 {
            Place::Memory(_) => true,
            Place::Redis(member) => member.is_connected(),
        }
    }

    /// Tells the others that this instance ends, after what they do not know yet of its use of
    /// limits, for a second at most. Without it they notice after three beats.
    pub async fn leave(&self) {
        if let Place::Redis(member) = &*self.0 {
            member.leave().await;
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.hub.0.lock().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn instances_in_one_process_hear_of_each_other() {
        let first = Cluster::alone();
        let second = first.beside().unwrap();
        let mut heard = second.announced();
        let own = first.announced();
        assert_eq!(first.known_instances(), 2);

        first.announce(Revision(7)).await.unwrap();

        heard.changed().await.unwrap();
        assert_eq!(*heard.borrow(), Revision(7));
        assert!(!own.has_changed().unwrap());
        assert!(first.is_connected());
        second.leave().await;
        drop(second);
        assert_eq!(first.known_instances(), 1);
    }

    #[tokio::test]
    async fn an_address_that_is_none_is_refused() {
        let refused = Cluster::redis(&Settings::new("http://secret@host".into())).unwrap_err();
        assert_eq!(refused.to_string(), "the address of redis is not valid");
    }
}
