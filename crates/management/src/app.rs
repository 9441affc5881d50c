//! The management plane as one value: what its handlers reach for.

use std::{
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use auth::{Csrf, MasterKey, Passwords, Renewals, ServiceKeys, Sessions};
use axum::Router;
use domain::live::Live;
use store::Store;

use crate::{
    Settings, error::ApiError, feed::Feed, gate::SessionCache, hashing::Hashing, refused::Refusals,
    router,
};

/// What the management plane is made of.
pub struct Parts {
    /// Its limits and habits.
    pub settings: Settings,
    /// Where everything is kept.
    pub store: Store,
    /// What makes service keys.
    pub service_keys: ServiceKeys,
    /// What hashes passwords.
    pub passwords: Passwords,
    /// What makes access tokens.
    pub sessions: Sessions,
    /// What derives the refresh tokens of a session.
    pub renewals: Renewals,
    /// What proves that a call comes from our own page.
    pub csrf: Csrf,
    /// The data plane of this process, where there is one.
    pub live: Option<Arc<dyn Live>>,
}

impl Parts {
    /// The parts that follow from a master key, around a store, with the usual settings.
    pub fn new(store: Store, master_key: &MasterKey) -> Self {
        Self {
            settings: Settings::default(),
            store,
            service_keys: master_key.service_keys(),
            passwords: master_key.passwords(),
            sessions: master_key.sessions(),
            renewals: master_key.renewals(),
            csrf: master_key.csrf(),
            live: None,
        }
    }
}

/// The management plane. Cheap to clone: each handler gets one.
#[derive(Clone)]
pub struct Management(Arc<Inner>);

/// What handlers reach for.
pub struct Inner {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) service_keys: ServiceKeys,
    pub(crate) hashing: Hashing,
    pub(crate) sessions: Sessions,
    pub(crate) renewals: Renewals,
    pub(crate) csrf: Csrf,
    pub(crate) live: Option<Arc<dyn Live>>,
    pub(crate) session_cache: SessionCache,
    pub(crate) feed: Arc<Feed>,
    pub(crate) refusals: Refusals,
    draining: AtomicBool,
}

impl Management {
    /// Puts the parts together.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Inner {
            settings: parts.settings,
            store: parts.store,
            service_keys: parts.service_keys,
            hashing: Hashing::new(parts.passwords),
            sessions: parts.sessions,
            renewals: parts.renewals,
            csrf: parts.csrf,
            live: parts.live,
            session_cache: SessionCache::default(),
            feed: Arc::default(),
            refusals: Refusals::default(),
            draining: AtomicBool::new(false),
        }))
    }

    /// Everything it answers.
    pub fn router(&self) -> Router {
        router::router(self.clone())
    }

    /// From now on it says that it is not ready, so that balancers send requests elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// The data plane of this process; refused where there is none.
    pub(crate) fn data_plane(&self) -> Result<&Arc<dyn Live>, ApiError> {
        self.live.as_ref().ok_or(ApiError::NoDataPlane)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

impl Deref for Management {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

/// The management plane of these parts as an axum router.
pub fn app(parts: Parts) -> Router {
    Management::new(parts).router()
}
