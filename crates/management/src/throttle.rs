//! Slowing down whoever guesses passwords: by account and by network, before anything is hashed.
//! The counts are in the store, so a restart forgives nobody.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use store::{LoginFailures, Store};

use crate::{error::ApiError, peer};

/// Failures that cost nothing: people mistype.
const FREE: u32 = 4;
/// Longest wait for an account. Longer would let anybody lock anybody out for a day.
const ACCOUNT_MAX: Duration = Duration::from_secs(15 * 60);
/// Longest wait for a network, behind which a whole office may sit.
const NETWORK_MAX: Duration = Duration::from_secs(60);

/// One sign-in, as the counts see it.
pub(crate) struct Throttle<'a> {
    store: &'a Store,
    account: Option<String>,
    network: Option<String>,
}

impl<'a> Throttle<'a> {
    /// The counts of this account (where one is named) and of this address.
    pub(crate) fn new(store: &'a Store, username: Option<&str>, ip: Option<IpAddr>) -> Self {
        Self {
            store,
            account: username.map(|name| format!("account:{}", auth::name_mark(name))),
            network: ip.map(|ip| format!("network:{}", peer::network(ip))),
        }
    }

    /// Refuses an attempt that comes too early after the last failure.
    pub(crate) async fn check(&self, now: DateTime<Utc>) -> Result<(), ApiError> {
        let mut wait = Duration::ZERO;
        for (key, longest) in [(&self.account, ACCOUNT_MAX), (&self.network, NETWORK_MAX)] {
            if let Some(key) = key {
                wait = wait.max(left(self.store.login_failures(key).await?, longest, now));
            }
        }
        if wait.is_zero() { Ok(()) } else { Err(ApiError::Throttled(wait)) }
    }

    /// Counts a failure.
    pub(crate) async fn failed(&self) -> Result<(), ApiError> {
        let keys: Vec<&str> =
            [&self.account, &self.network].into_iter().flatten().map(String::as_str).collect();
        self.store.add_login_failure(&keys).await?;
        Ok(())
    }

    /// Forgives the account. The network stays as it is: one good account must not buy guesses
    /// at the others.
    pub(crate) async fn succeeded(&self) -> Result<(), ApiError> {
        if let Some(account) = &self.account {
            self.store.forget_login_failures(account).await?;
        }
        Ok(())
    }
}

/// How long must still be waited.
fn left(failures: LoginFailures, longest: Duration, now: DateTime<Utc>) -> Duration {
    let Some(last_at) = failures.last_at else { return Duration::ZERO };
    let since = (now - last_at).to_std().unwrap_or_default();
    delay(failures.count, longest).saturating_sub(since)
}

/// How long to wait after so many failures: doubling from one second on.
fn delay(failures: u32, longest: Duration) -> Duration {
    match failures.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => Duration::from_secs(1_u64 << more.min(20)).min(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fifth_failure_costs_a_second_and_each_further_one_doubles_it() {
        let seconds = |failures| delay(failures, ACCOUNT_MAX).as_secs();
        let waits: Vec<_> = [0, 1, 4, 5, 6, 7, 10, 15, 100, u32::MAX].map(seconds).into();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 32, 900, 900, 900]);
        assert_eq!(delay(30, NETWORK_MAX).as_secs(), 60);
    }

    #[test]
    fn what_has_passed_already_counts() {
        let now = Utc::now();
        let failures =
            |ago| LoginFailures { count: 7, last_at: Some(now - chrono::Duration::seconds(ago)) };
        assert_eq!(left(failures(0), ACCOUNT_MAX, now), Duration::from_secs(4));
        assert_eq!(left(failures(3), ACCOUNT_MAX, now), Duration::from_secs(1));
        assert_eq!(left(failures(9), ACCOUNT_MAX, now), Duration::ZERO);
        assert_eq!(left(failures(-60), ACCOUNT_MAX, now), Duration::from_secs(4));
        let none = LoginFailures { count: 0, last_at: None };
        assert_eq!(left(none, ACCOUNT_MAX, now), Duration::ZERO);
    }
}
