//! How many connections there are, in all and from each address, against one client that takes
//! them all.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::settings::Limits;

/// The connections that are open now.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    /// The tasks that serve them, by number; none until it is known.
    tasks: HashMap<u64, Option<AbortHandle>>,
    last: u64,
    /// Only addresses with a connection are here, so the map is as bounded as the connections.
    by_ip: HashMap<IpAddr, Count>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    all: usize,
    /// Those that never showed a service key that we know.
    anonymous: usize,
}

impl Connections {
    /// Counts a new connection; none when there are too many. `ip` is none where the address is
    /// not to be counted.
    pub(crate) fn open(self: &Arc<Self>, ip: Option<IpAddr>, limits: &Limits) -> Option<Counted> {
        let mut open = self.0.lock();
        if open.tasks.len() >= limits.connections {
            return None;
        }
        if let Some(ip) = ip {
            let count = open.by_ip.get(&ip).copied().unwrap_or_default();
            if count.all >= limits.connections_per_ip || count.anonymous >= limits.anonymous_per_ip
            {
                return None;
            }
            open.by_ip.insert(ip, Count { all: count.all + 1, anonymous: count.anonymous + 1 });
        }
        open.last += 1;
        let number = open.last;
        open.tasks.insert(number, None);
        Some(Counted { connections: self.clone(), number, ip, anonymous: ip.is_some() })
    }

    /// Notes which task serves a connection, unless it has ended already.
    pub(crate) fn serve(&self, number: u64, task: AbortHandle) {
        if let Some(serving) = self.0.lock().tasks.get_mut(&number) {
            *serving = Some(task);
        }
    }

    /// Ends all of them at once.
    pub(crate) fn cut_off(&self) {
        let open = self.0.lock();
        open.tasks.values().flatten().for_each(AbortHandle::abort);
    }
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Counted {
    connections: Arc<Connections>,
    number: u64,
    ip: Option<IpAddr>,
    anonymous: bool,
}

impl Counted {
    /// Which connection it is.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// It showed a key that we know.
    pub(crate) fn known(&mut self) {
        if std::mem::take(&mut self.anonymous)
            && let Some(ip) = self.ip
            && let Some(count) = self.connections.0.lock().by_ip.get_mut(&ip)
        {
            count.anonymous -= 1;
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock();
        open.tasks.remove(&self.number);
        let Some(ip) = self.ip else { return };
        let Some(count) = open.by_ip.get_mut(&ip) else { return };
        count.all -= 1;
        count.anonymous -= usize::from(self.anonymous);
        if count.all == 0 {
            open.by_ip.remove(&ip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_share_and_gives_it_back() {
        let limits = Limits {
            connections: 5,
            connections_per_ip: 3,
            anonymous_per_ip: 2,
            ..Limits::default()
        };
        let connections = Arc::new(Connections::default());
        let (a, b) = (IpAddr::from([1, 1, 1, 1]), IpAddr::from([2, 2, 2, 2]));
        let open = |ip| connections.open(ip, &limits);

        let mut first = open(Some(a)).unwrap();
        let second = open(Some(a)).unwrap();
        assert!(open(Some(a)).is_none(), "two strangers are enough");
        first.known();
        let third = open(Some(a)).unwrap();
        assert!(open(Some(a)).is_none(), "three are enough");
        let others = (open(Some(b)).unwrap(), open(None).unwrap());
        assert!(open(None).is_none(), "five in all are enough");
        drop((first, second, third, others));
        assert!(connections.0.lock().by_ip.is_empty() && connections.0.lock().tasks.is_empty());
    }
}
