//! The instances meet in Redis.
//!
//! Every name begins with `tollgate:{<cluster>}:`. The braces are a hash tag: all names of one
//! cluster lie on one node of a Redis Cluster. No key is without an end of life.
//!
//! | name | is | lives |
//! |---|---|---|
//! | `…:instances` | sorted set: instance id → when its heart last beat, by Redis's clock | three beats after the last |
//! | `…:revision` | channel: `<instance id> <revision>` | – |
//!
//! One connection speaks RESP3, so that notices come in over it too; it reconnects and subscribes
//! by itself. Every beat subscribes again nevertheless: it costs nothing, and a subscription that
//! was lost in some other way is back with the next beat.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use domain::Revision;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{
    AsyncTypedCommands, Client, ConnectionInfo, FromRedisValue, ProtocolVersion, PushInfo,
    PushKind, RedisError, Script,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::breaker::Breaker;
use crate::{ClusterError, DEADLINE, Settings};

/// Notes a beat by Redis's own clock, forgets those who missed three, and counts the rest.
const BEAT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
";

/// An instance among those that know the same Redis.
#[derive(Debug)]
pub(crate) struct Member {
    shared: Arc<Shared>,
    heart: JoinHandle<()>,
}

struct Shared {
    id: Uuid,
    instances_key: String,
    channel: String,
    connection: ConnectionManager,
    heard: watch::Sender<Revision>,
    known: AtomicU32,
    breaker: Breaker,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn join(info: ConnectionInfo, settings: &Settings) -> Result<Member, ClusterError> {
        let id = Uuid::new_v4();
        let prefix = format!("tollgate:{{{}}}", settings.name);
        let channel = format!("{prefix}:revision");
        let heard = watch::Sender::new(Revision(0));
        let connection = {
            let (channel, heard) = (channel.clone(), heard.clone());
            connect(info, move |push| hear(&push, id, &channel, &heard))?
        };
        let shared = Arc::new(Shared {
            id,
            instances_key: format!("{prefix}:instances"),
            channel,
            connection,
            heard,
            known: AtomicU32::new(1),
            breaker: Breaker::default(),
        });
        let heart = tokio::spawn(beat_for_ever(Arc::clone(&shared), settings.beat));
        Ok(Member { shared, heart })
    }

    pub(crate) async fn announce(&self, revision: Revision) -> Result<(), ClusterError> {
        let shared = &self.shared;
        let mut connection = shared.connection.clone();
        let message = format!("{} {revision}", shared.id);
        let publish = connection.publish(&shared.channel, message);
        shared.guarded(publish).await.map(|_| ())
    }

    pub(crate) fn announced(&self) -> watch::Receiver<Revision> {
        self.shared.heard.subscribe()
    }

    pub(crate) fn known_instances(&self) -> u32 {
        self.shared.known.load(Ordering::Relaxed)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.shared.breaker.is_closed()
    }

    pub(crate) async fn leave(&self) {
        self.heart.abort();
        let mut connection = self.shared.connection.clone();
        let key = &self.shared.instances_key;
        let id = self.shared.id.to_string();
        let gone = self.shared.guarded(connection.zrem(key, id)).await;
        if let Err(cause) = gone {
            tracing::debug!(%cause, "the others will notice that this instance ended");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.heart.abort();
    }
}

/// A connection that is made when it is needed, and again when it breaks.
fn connect(
    info: ConnectionInfo,
    on_push: impl Fn(PushInfo) -> Result<(), ClusterError> + Send + Sync + 'static,
) -> Result<ConnectionManager, ClusterError> {
    let settings = info.redis_settings().clone();
    let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
    let client = Client::open(info).map_err(|_| ClusterError::Address)?;
    let config = ConnectionManagerConfig::new()
        .set_connection_timeout(Some(Duration::from_secs(1)))
        .set_response_timeout(Some(DEADLINE))
        .set_number_of_retries(1)
        .set_push_sender(on_push)
        .set_automatic_resubscription();
    ConnectionManager::new_lazy_with_config(client, config).map_err(failed)
}

async fn beat_for_ever(shared: Arc<Shared>, beat: Duration) {
    let script = Script::new(BEAT);
    let life = (beat * 3).as_millis() as u64;
    let mut ticks = tokio::time::interval(beat);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let was_connected = shared.breaker.is_closed();
        // Why it failed has been said when the breaker opened.
        let subscribed = shared.beat(&script, life).await.is_ok();
        if subscribed && !was_connected {
            // Something may have been announced meanwhile.
            shared.heard.send_modify(|_| ());
        }
    }
}

impl Shared {
    async fn beat(&self, script: &Script, life: u64) -> Result<(), ClusterError> {
        let mut connection = self.connection.clone();
        self.guarded(connection.subscribe(&self.channel)).await?;
        let id = self.id.to_string();
        let mut call = script.key(&self.instances_key);
        call.arg(id).arg(life);
        let count: u32 = self.guarded(call.invoke_async(&mut connection)).await?;
        self.known.store(count.max(1), Ordering::Relaxed);
        Ok(())
    }

    /// Makes a call with a deadline, unless Redis is known to be down.
    async fn guarded<T>(
        &self,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, ClusterError> {
        if !self.breaker.lets_through(Instant::now()) {
            return Err(ClusterError::Open);
        }
        let result = match tokio::time::timeout(DEADLINE, call).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(ClusterError::Late),
        };
        match &result {
            Ok(_) if self.breaker.succeeded() => tracing::info!("redis is back"),
            Err(cause) if self.breaker.failed(Instant::now()) => {
                tracing::warn!(%cause, "redis is down: changes reach other instances later");
            }
            _ => {}
        }
        result
    }
}

fn failed(cause: RedisError) -> ClusterError {
    // The kind alone: the words may name the address with its password.
    ClusterError::Failed(format!("{:?}", cause.kind()))
}

/// Takes a notice of another instance.
fn hear(
    push: &PushInfo,
    own: Uuid,
    channel: &str,
    heard: &watch::Sender<Revision>,
) -> Result<(), ClusterError> {
    if push.kind != PushKind::Message {
        return Ok(());
    }
    let texts = push.data.iter().map(|value| String::from_redis_value_ref(value).ok());
    let [Some(on), Some(message)] = &texts.collect::<Vec<_>>()[..] else {
        return Ok(());
    };
    if let Some((id, revision)) = message.split_once(' ')
        && on == channel
        && id != own.to_string()
        && let Ok(revision) = revision.parse()
    {
        heard.send_replace(Revision(revision));
    }
    Ok(())
}
