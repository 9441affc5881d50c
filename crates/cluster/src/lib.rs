//! What several instances share: that a revision is there, how many they are, and what is used of
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

/// No call to another machine takes longer, unless the settings say so.
pub const DEADLINE: Duration = Duration::from_millis(50);

/// Where the instances meet.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address of Redis (`redis://…`, `rediss://…`), with its password.
    pub url: SecretString,
    /// The name of the cluster; those of another name do not hear of each other.
    pub name: String,
    /// How often an instance says that it lives. Three beats missed, and it is gone.
    pub beat: Duration,
    /// How long a call may take. Calls of clients wait for it, so it is short: [`DEADLINE`].
    pub deadline: Duration,
}

impl Settings {
    /// The defaults, at `url`.
    pub fn new(url: SecretString) -> Settings {
        let name = "default".to_owned();
        Settings { url, name, beat: Duration::from_secs(5), deadline: DEADLINE }
    }
}

/// This instance's place among the others.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Place>);

#[derive(Debug)]
enum Place {
    Memory(Member),
    Redis(redis::Member),
}

/// An instance among those of the same process.
#[derive(Debug)]
struct Member {
    id: Uuid,
    heard: watch::Sender<Revision>,
    hub: Arc<Hub>,
}

#[derive(Debug, Default)]
struct Hub(Mutex<Vec<(Uuid, watch::Sender<Revision>)>>);

impl Cluster {
    /// An instance without others.
    pub fn alone() -> Cluster {
        Cluster::join(Arc::default())
    }

    /// Another instance in the same process.
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

    /// Tells the others that `revision` is there to be loaded. Whether they heard it is unknown.
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

    /// The revision that another instance announced last. It changes, perhaps to the same value,
    /// whenever it is time to look what the newest revision is: also when notices may have been
    /// missed.
    pub fn announced(&self) -> watch::Receiver<Revision> {
        match &*self.0 {
            Place::Memory(member) => member.heard.subscribe(),
            Place::Redis(member) => member.announced(),
        }
    }

    /// How many instances there are as far as is known, this one included.
    pub fn known_instances(&self) -> u32 {
        match &*self.0 {
            Place::Memory(member) => member.hub.0.lock().len() as u32,
            Place::Redis(member) => member.known_instances(),
        }
    }

    /// Whether the others can be reached.
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
