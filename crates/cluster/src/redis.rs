//! The connection of instances through Redis.
//!
//! Every name begins with `tollgate:{<cluster>}:`. The braces are a hash tag: all names of one
//! cluster lie on one node of a Redis Cluster. No key is without an end of life.
//!
//! | name | is | lives |
//! |---|---|---|
//! | `…:instances` | sorted set: instance id → when its heart last beat, by Redis's clock | three beats after the last |
//! | `…:revision` | channel: `<instance id> <revision>` | – |
//! | `…:count:<counter>:from:<start>` | hash: a period from `<start>`, in microseconds since 1970 | a day after its end; without one, 400 days after the last use |
//! | `…:count:<counter>:last:60x<µs>` | hash: a sliding window, by sixtieths | its window and a minute after the last use |
//! | `…:count:<counter>:bucket:<µs>` | hash: a bucket that fills up by its limit in so long | a minute longer than it takes to fill up |
//! | `…:count:<counter>:at_once` | hash: instance id → how many calls it has | a day after the last call |
//! | `…:reservation:<id>` | what was answered to a reservation, or that it was undone | ten seconds |
//! | `…:batch:<instance id>` | the number of the last corrections of an instance | a day |
//!
//! One connection speaks RESP3, so that notices come in over it too; it reconnects and subscribes
//! by itself. Every beat subscribes again nevertheless: it costs nothing, and a subscription that
//! was lost in some other way is back with the next beat.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use domain::Revision;
use parking_lot::Mutex;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{
    AsyncTypedCommands, Client, ConnectionInfo, FromRedisValue, ProtocolVersion, PushInfo,
    PushKind, RedisError, Script, ScriptInvocation,
};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::breaker::Breaker;
use crate::counters::Shared;
use crate::{ClusterError, Settings};

/// Records a heartbeat by the clock of Redis, removes instances that missed three, and counts the
/// rest. Returns also whether this instance was missing.
const BEAT: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local new = redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {redis.call('ZCARD', KEYS[1]), new}
";

/// The idle time after which the system tests a connection; it is dead if data are not acknowledged
/// for twice as long.
const QUIET: Duration = Duration::from_secs(5);
/// The time that a new connection may take before another one is made.
const PATIENCE: Duration = Duration::from_secs(3);
/// The time that a leaving instance takes for pending messages.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// An instance that uses Redis.
#[derive(Debug)]
pub(crate) struct Member {
    link: Arc<Link>,
    counts: Arc<Shared>,
    tasks: [JoinHandle<()>; 2],
}

/// The connection to Redis.
pub(crate) struct Link {
    id: Uuid,
    prefix: String,
    instances_key: String,
    channel: String,
    /// The address of Redis without its password, for log lines.
    place: String,
    connector: Connector,
    connection: Mutex<Connection>,
    deadline: Duration,
    heard: watch::Sender<Revision>,
    known: AtomicU32,
    breaker: Breaker,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Member {
    pub(crate) fn join(info: ConnectionInfo, settings: &Settings) -> Result<Member, ClusterError> {
        let id = Uuid::new_v4();
        let prefix = format!("tollgate:{{{}}}", settings.name);
        let channel = format!("{prefix}:revision");
        let heard = watch::Sender::new(Revision(0));
        let place = info.addr().to_string();
        let connector = {
            let (channel, heard) = (channel.clone(), heard.clone());
            let hear: Listener = Arc::new(move |push| hear(&push, id, &channel, &heard));
            Connector { info, deadline: settings.deadline, hear }
        };
        let connection = Connection { manager: connector.connect()?, made: Instant::now() };
        let link = Arc::new(Link {
            id,
            instances_key: format!("{prefix}:instances"),
            prefix,
            channel,
            place,
            connector,
            connection: Mutex::new(connection),
            deadline: settings.deadline,
            heard,
            known: AtomicU32::new(1),
            breaker: Breaker::default(),
        });
        let counts = Arc::new(Shared::new(Arc::clone(&link)));
        let heart = beat_for_ever(Arc::clone(&link), Arc::clone(&counts), settings.beat);
        let tasks = [tokio::spawn(heart), tokio::spawn(Arc::clone(&counts).flush_for_ever())];
        Ok(Member { link, counts, tasks })
    }

    /// Returns the shared counters.
    pub(crate) fn counts(&self) -> &Arc<Shared> {
        &self.counts
    }

    pub(crate) async fn announce(&self, revision: Revision) -> Result<(), ClusterError> {
        let link = &self.link;
        let mut connection = link.connection();
        let message = format!("{} {revision}", link.id);
        let publish = connection.publish(&link.channel, message);
        link.guarded(publish).await.map(|_| ())
    }

    pub(crate) fn announced(&self) -> watch::Receiver<Revision> {
        self.link.heard.subscribe()
    }

    pub(crate) fn known_instances(&self) -> u32 {
        self.link.known_instances()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_connected()
    }

    pub(crate) async fn leave(&self) {
        let [heart, flusher] = &self.tasks;
        heart.abort();
        flusher.abort();
        match tokio::time::timeout(LAST_WORDS, self.counts.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => tracing::warn!(%cause, "the last corrections of limits are lost"),
            Err(_) => tracing::warn!("the last corrections of limits are lost: redis is slow"),
        }
        let mut connection = self.link.connection();
        let key = &self.link.instances_key;
        let id = self.link.id.to_string();
        let gone = self.link.guarded(connection.zrem(key, id)).await;
        if let Err(cause) = gone {
            tracing::debug!(%cause, "the others will notice that this instance ended");
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// The handler of notices.
type Listener = Arc<dyn Fn(PushInfo) -> Result<(), ClusterError> + Send + Sync>;

/// Makes connections.
struct Connector {
    info: ConnectionInfo,
    deadline: Duration,
    hear: Listener,
}

/// The connection and the time of its creation.
struct Connection {
    manager: ConnectionManager,
    made: Instant,
}

impl Connector {
    /// Creates a connection that connects when needed and reconnects after failures.
    fn connect(&self) -> Result<ConnectionManager, ClusterError> {
        let settings = self.info.redis_settings().clone();
        let keepalive = TcpKeepalive::new().with_time(QUIET).with_interval(QUIET / 2);
        let tcp = TcpSettings::default().set_keepalive(keepalive).set_user_timeout(QUIET * 2);
        let info = self.info.clone().set_tcp_settings(tcp);
        let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        let client = Client::open(info).map_err(|_| ClusterError::Address)?;
        let hear = Arc::clone(&self.hear);
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(1)))
            .set_response_timeout(Some(self.deadline))
            .set_number_of_retries(1)
            .set_push_sender(move |push| hear(push))
            .set_automatic_resubscription();
        ConnectionManager::new_lazy_with_config(client, config).map_err(failed)
    }
}

async fn beat_for_ever(link: Arc<Link>, counts: Arc<Shared>, beat: Duration) {
    let script = Script::new(BEAT);
    let life = (beat * 3).as_millis() as u64;
    let mut ticks = tokio::time::interval(beat);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let was_connected = link.breaker.is_closed();
        // The failure was logged when the breaker opened.
        let Ok(new) = link.beat(&script, life).await else { continue };
        if new {
            counts.tell_again();
        }
        if !was_connected {
            // Notices may have been missed meanwhile.
            link.heard.send_modify(|_| ());
        }
    }
}

impl Link {
    pub(crate) fn instance(&self) -> Uuid {
        self.id
    }

    /// Returns the prefix of every name.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn instances_key(&self) -> &str {
        &self.instances_key
    }

    pub(crate) fn known_instances(&self) -> u32 {
        self.known.load(Ordering::Relaxed)
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Runs an idempotent script: if the connection breaks it is run again over a new one, within
    /// the same deadline.
    pub(crate) async fn invoke<T: FromRedisValue>(
        &self,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, ClusterError> {
        let mut connection = self.connection();
        let mut again = connection.clone();
        let run = async move {
            match call.invoke_async(&mut connection).await {
                Err(cause) if cause.is_connection_dropped() => call.invoke_async(&mut again).await,
                result => result,
            }
        };
        self.guarded(run).await
    }

    /// Sends a heartbeat; returns whether this instance was missing.
    async fn beat(&self, script: &Script, life: u64) -> Result<bool, ClusterError> {
        let mut connection = self.connection();
        self.guarded(connection.subscribe(&self.channel)).await?;
        let id = self.id.to_string();
        let mut call = script.key(&self.instances_key);
        call.arg(id).arg(life);
        let (count, new): (u32, u32) = self.guarded(call.invoke_async(&mut connection)).await?;
        self.known.store(count.max(1), Ordering::Relaxed);
        Ok(new > 0)
    }

    /// Makes a call with a deadline, unless Redis is known to be down.
    async fn guarded<T>(
        &self,
        call: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, ClusterError> {
        if !self.breaker.lets_through(Instant::now()) {
            return Err(ClusterError::Open);
        }
        let result = match tokio::time::timeout(self.deadline, call).await {
            Ok(result) => result.map_err(failed),
            Err(_) => Err(ClusterError::Late),
        };
        match &result {
            Ok(_) if self.breaker.succeeded() => tracing::info!("redis is back"),
            Ok(_) => {}
            Err(cause) => {
                let opened = self.breaker.failed(Instant::now());
                if opened {
                    let place = &self.place;
                    tracing::warn!(%cause, place, "redis is down: changes reach other instances \
                         later, and limits are counted by share");
                }
                if matches!(cause, ClusterError::Late) && !self.breaker.is_closed() {
                    self.connect_anew();
                }
            }
        }
        result
    }

    fn connection(&self) -> ConnectionManager {
        self.connection.lock().manager.clone()
    }

    /// Replaces a connection that does not answer: it may be dead, and the next call would wait in
    /// vain. The new one gets some time to connect.
    fn connect_anew(&self) {
        let mut connection = self.connection.lock();
        if connection.made.elapsed() < PATIENCE {
            return;
        }
        match self.connector.connect() {
            Ok(manager) => *connection = Connection { manager, made: Instant::now() },
            Err(cause) => tracing::error!(%cause, "redis cannot be connected anew"),
        }
    }
}

fn failed(cause: RedisError) -> ClusterError {
    if cause.is_timeout() {
        return ClusterError::Late;
    }
    // Not the library's message: it may contain the address with its password.
    let words = match () {
        () if cause.is_connection_refusal() => "the connection is refused",
        () if cause.is_connection_dropped() => "the connection broke",
        () => cause.category(),
    };
    ClusterError::Failed(words.to_owned())
}

/// Handles a notice of another instance.
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
