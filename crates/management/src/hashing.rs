//! Password hashing off the async threads, a few at a time: each takes a core for a quarter of a
//! second, and whoever can make us do many at once can stop us.

use std::{
    num::NonZero,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use auth::{PasswordError, Passwords, Verdict};
use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::ApiError;

/// Most callers that wait for their turn.
const QUEUE: usize = 64;

/// Hashes and compares passwords, one core always left to the rest.
pub(crate) struct Hashing {
    passwords: Passwords,
    turns: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// The right to hash, one thing after the other. It is given back when the last hashing is done,
/// also when nobody waits for it any more: who hangs up must not get another turn for free.
pub(crate) struct Turn<'a> {
    passwords: &'a Passwords,
    permit: Arc<OwnedSemaphorePermit>,
}

impl Hashing {
    pub(crate) fn new(passwords: Passwords) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)));
        Self { passwords, turns, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a turn; refuses where too many wait already.
    pub(crate) async fn turn(&self) -> Result<Turn<'_>, ApiError> {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= QUEUE {
            return Err(ApiError::Busy);
        }
        let permit = self.turns.clone().acquire_owned().await;
        let permit = permit.expect("nobody closes this semaphore");
        Ok(Turn { passwords: &self.passwords, permit: Arc::new(permit) })
    }
}

impl Turn<'_> {
    /// The hash to store.
    pub(crate) async fn hash(&self, password: SecretString) -> Result<String, ApiError> {
        let passwords = self.passwords.clone();
        self.off_thread(move || passwords.hash(&password)).await
    }

    /// Compares with what is stored; with nothing stored it only takes as long.
    pub(crate) async fn compare(
        &self,
        password: SecretString,
        stored: Option<String>,
    ) -> Result<Verdict, ApiError> {
        let passwords = self.passwords.clone();
        self.off_thread(move || match stored {
            Some(stored) => passwords.compare(&password, &stored),
            None => {
                passwords.compare_with_nothing(&password);
                Ok(Verdict::Wrong)
            }
        })
        .await
    }

    async fn off_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let permit = self.permit.clone();
        let work = move || {
            let _until_done = permit;
            work()
        };
        let internal = |error: String| ApiError::Internal(error);
        let done = tokio::task::spawn_blocking(work).await.map_err(|e| internal(e.to_string()))?;
        done.map_err(|error| internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use auth::MasterKey;

    use super::*;

    fn hashing() -> Hashing {
        Hashing::new(MasterKey::generate().passwords().at_cost(4))
    }

    #[tokio::test]
    async fn what_was_hashed_compares_right_and_nothing_compares_wrong() {
        let hashing = hashing();
        let turn = hashing.turn().await.unwrap();
        let stored = turn.hash("correct horse battery".into()).await.unwrap();
        let right = turn.compare("correct horse battery".into(), Some(stored)).await.unwrap();
        assert_eq!(right, Verdict::Right);
        assert_eq!(turn.compare("anything".into(), None).await.unwrap(), Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_hash_nobody_can_read_is_our_failure_and_not_a_wrong_password() {
        let hashing = hashing();
        let turn = hashing.turn().await.unwrap();
        let refused = turn.compare("x".into(), Some("rubbish".into())).await;
        assert!(matches!(refused, Err(ApiError::Internal(_))));
    }

    #[tokio::test]
    async fn who_hangs_up_keeps_the_turn_until_the_work_is_done() {
        let hashing = hashing();
        let free = hashing.turns.available_permits();
        let (begin, begun) = std::sync::mpsc::channel::<()>();
        let turn = hashing.turn().await.unwrap();
        let mut work = Box::pin(turn.off_thread(move || Ok(begun.recv())));
        assert!(asked_once(work.as_mut()).is_none());
        drop(work);
        drop(turn);
        assert_eq!(hashing.turns.available_permits(), free - 1);
        begin.send(()).unwrap();
        while hashing.turns.available_permits() < free {
            tokio::task::yield_now().await;
        }
    }

    /// What a future gives when asked once.
    fn asked_once<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn too_long_a_queue_is_refused() {
        let hashing = hashing();
        hashing.waiting.store(QUEUE, Ordering::Relaxed);
        assert!(matches!(hashing.turn().await, Err(ApiError::Busy)));
        assert_eq!(hashing.waiting.load(Ordering::Relaxed), QUEUE);
    }
}
