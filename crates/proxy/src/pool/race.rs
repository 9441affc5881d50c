//! Which of a host's addresses is connected to: they race, each with a head start over the next (RFC
//! 8305), and those that lost lately start last.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use parking_lot::Mutex;
use tokio::time::sleep;

/// The head start of an address over the next one (RFC 8305, section 5), and the longest.
const HEAD_START: Duration = Duration::from_millis(250);
const HEAD_START_MAX: Duration = Duration::from_secs(2);
/// For so long an address that lost starts last.
const LOST_FOR: Duration = Duration::from_secs(600);
/// Most addresses of one host of which it is remembered that they lost.
const LOST_MAX: usize = 32;

/// What is remembered of the races to one host.
#[derive(Debug, Default)]
pub(crate) struct Form {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    lost: HashMap<IpAddr, Instant>,
    /// How long the last connection took.
    took: Option<Duration>,
}

impl Form {
    /// The order in which addresses start: as the resolver has them, the families in turn, and those
    /// that lost lately last.
    pub(crate) fn order(&self, addresses: &[IpAddr]) -> Vec<IpAddr> {
        let mut inner = self.inner.lock();
        inner.lost.retain(|_, at| at.elapsed() < LOST_FOR);
        let (lost, well): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().partition(|ip| inner.lost.contains_key(*ip));
        let mut order = in_turn(&well);
        order.extend(in_turn(&lost));
        order
    }

    /// The head start of an address: enough for a connection that takes as long as the last one, so
    /// that a provider that is far away is not connected to twice each time.
    fn head_start(&self) -> Duration {
        let took = self.inner.lock().took.unwrap_or_default();
        (took * 2).clamp(HEAD_START, HEAD_START_MAX)
    }

    fn won(&self, ip: IpAddr, took: Duration) {
        let mut inner = self.inner.lock();
        inner.lost.remove(&ip);
        inner.took = Some(took);
    }

    fn lost(&self, ip: IpAddr) {
        let mut inner = self.inner.lock();
        if inner.lost.len() < LOST_MAX {
            inner.lost.insert(ip, Instant::now());
        }
    }

    /// Connects to the first of `addresses` that answers, in this order. The last failure where none
    /// does; none where there are no addresses.
    pub(crate) async fn race<T, E, F>(
        &self,
        addresses: Vec<IpAddr>,
        connect: impl Fn(IpAddr) -> F,
    ) -> Result<T, Option<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        let head_start = self.head_start();
        let (mut waiting, mut last) = (addresses.into_iter(), None);
        let mut running = FuturesUnordered::new();
        let mut started: Vec<IpAddr> = Vec::new();
        let start = |ip: IpAddr| {
            let (began, connecting) = (tokio::time::Instant::now(), connect(ip));
            async move { (ip, connecting.await, began.elapsed()) }
        };
        loop {
            if running.is_empty() {
                let Some(ip) = waiting.next() else { return Err(last) };
                started.push(ip);
                running.push(start(ip));
            }
            tokio::select! {
                biased;
                Some((ip, result, took)) = running.next() => match result {
                    Ok(connected) => {
                        self.won(ip, took);
                        // Whoever had a head start and is not there yet is slow or dead.
                        let slower = started.iter().take_while(|other| **other != ip);
                        slower.for_each(|ip| self.lost(*ip));
                        return Ok(connected);
                    }
                    Err(error) => {
                        self.lost(ip);
                        last = Some(error);
                    }
                },
                () = sleep(head_start), if waiting.len() > 0 => {
                    if let Some(ip) = waiting.next() {
                        started.push(ip);
                        running.push(start(ip));
                    }
                }
            }
        }
    }
}

/// The families in turn, beginning with that of the first.
fn in_turn(addresses: &[IpAddr]) -> Vec<IpAddr> {
    let Some(first) = addresses.first() else { return Vec::new() };
    let (same, other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|ip| ip.is_ipv4() == first.is_ipv4());
    let (mut same, mut other) = (same.into_iter(), other.into_iter());
    let mut order = Vec::with_capacity(addresses.len());
    while same.len() + other.len() > 0 {
        order.extend(same.next());
        order.extend(other.next());
    }
    order
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How an address behaves: answers after so many milliseconds, or refuses, or is dead.
    type Behaviour = Result<u64, Option<u64>>;

    /// Who wins among these, after how many milliseconds, and who was asked.
    async fn race(form: &Form, field: &[(&str, Behaviour)]) -> (Option<IpAddr>, u64, Vec<IpAddr>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let known: HashMap<IpAddr, Behaviour> = field.iter().map(|(a, b)| (ip(a), *b)).collect();
        let addresses: Vec<IpAddr> = field.iter().map(|(address, _)| ip(address)).collect();
        let began = tokio::time::Instant::now();
        let won = form.race(form.order(&addresses), |ip| {
            asked.lock().push(ip);
            let behaviour = known[&ip];
            async move {
                match behaviour {
                    Ok(ms) => {
                        sleep(Duration::from_millis(ms)).await;
                        Ok(ip)
                    }
                    Err(Some(ms)) => {
                        sleep(Duration::from_millis(ms)).await;
                        Err("refused")
                    }
                    Err(None) => std::future::pending().await,
                }
            }
        });
        let won = won.await.ok();
        let asked = asked.lock().clone();
        (won, began.elapsed().as_millis() as u64, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_address_costs_a_quarter_of_a_second_and_that_once() {
        let form = Form::default();
        let (dead, good) = (("2001:db8::1", Err(None)), ("192.0.2.1", Ok(20)));
        assert_eq!(race(&form, &[dead, good]).await.0, Some(ip("192.0.2.1")));
        let (won, took, asked) = race(&form, &[dead, good]).await;
        assert_eq!((won, took), (Some(ip("192.0.2.1")), 20), "what worked is remembered");
        assert_eq!(asked, [ip("192.0.2.1")]);
        let (_, took, _) = race(&Form::default(), &[dead, good]).await;
        assert_eq!(took, 270);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_refuses_is_followed_by_the_next_at_once() {
        let form = Form::default();
        let field = [("192.0.2.1", Err(Some(5))), ("192.0.2.2", Ok(5)), ("192.0.2.3", Ok(5))];
        let (won, took, asked) = race(&form, &field).await;
        assert_eq!((won, took), (Some(ip("192.0.2.2")), 10));
        assert_eq!(asked, [ip("192.0.2.1"), ip("192.0.2.2")]);
        let all_refuse = [("192.0.2.1", Err(Some(5))), ("192.0.2.2", Err(Some(5)))];
        assert_eq!(race(&form, &all_refuse).await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_is_far_away_is_connected_to_once() {
        let form = Form::default();
        let far = [("192.0.2.1", Ok(600)), ("192.0.2.2", Ok(600))];
        assert_eq!(race(&form, &far).await.2.len(), 2, "nothing is known of it yet");
        let (won, took, asked) = race(&form, &far).await;
        assert_eq!((won, took, asked.len()), (Some(ip("192.0.2.1")), 600, 1));
    }

    #[test]
    fn the_families_take_turns_as_the_resolver_has_them() {
        let addresses = ["2001:db8::1", "2001:db8::2", "192.0.2.1", "2001:db8::3", "192.0.2.2"];
        let addresses = addresses.map(ip);
        let order = Form::default().order(&addresses);
        let expected = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"];
        assert_eq!(order, expected.map(ip));
    }
}
