//! What the process says while it runs: log lines on the standard output, as text or JSON, each
//! plane at its own level. What a line may not contain is taken out in [`redact`], before any sink.

mod redact;

use std::sync::Mutex;

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, layer::SubscriberExt, registry::LookupSpan,
    util::SubscriberInitExt,
};

use crate::config::{Log, LogStyle};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The data plane's own crates.
const PROXY: [&str; 3] = ["proxy", "dialect", "cluster"];
/// The management plane's.
const MANAGEMENT: [&str; 2] = ["management", "axum"];
/// Crates that print heads, targets or statements below this level.
const CAPPED: [&str; 8] =
    ["pingora", "h2", "hyper", "rustls", "sqlx", "sea_orm", "reqwest", "tower_http"];

/// Holds the writer's thread; the last lines are written when it ends.
#[derive(Debug)]
pub(crate) struct Logs(Mutex<Option<WorkerGuard>>);

impl Logs {
    /// Writes what is still waiting. Nothing is logged after it.
    pub(crate) fn flush(&self) {
        drop(self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }
}

/// Any bytes without what looks like a secret, for bodies that are kept.
pub(crate) fn masked(bytes: &[u8]) -> Vec<u8> {
    redact::masked(bytes)
}

/// Starts logging. A reader that does not keep up loses lines; it never slows a call.
pub(crate) fn start(log: &Log) -> Logs {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(std::io::stdout());
    tracing_subscriber::registry().with(layers(log, writer)).init();
    Logs(Mutex::new(Some(guard)))
}

fn layers(log: &Log, writer: NonBlocking) -> Vec<BoxedLayer> {
    if let Some(directives) = &log.directives {
        let filter = EnvFilter::builder().parse_lossy(directives);
        return vec![layer(&log.common, writer).with_filter(filter).boxed()];
    }
    let mut common = Targets::new().with_default(level(&log.common));
    for name in CAPPED {
        common = common.with_target(name, level(&log.common).min(LevelFilter::WARN));
    }
    common = common.with_target("pingora", LevelFilter::OFF);
    for name in PROXY.iter().chain(&MANAGEMENT) {
        common = common.with_target(*name, LevelFilter::OFF);
    }
    let only = |names: &[&'static str], style: &LogStyle| {
        let level = level(style);
        names.iter().fold(Targets::new(), |targets, name| targets.with_target(*name, level))
    };
    let proxy =
        only(&PROXY, &log.proxy).with_target("pingora", level(&log.proxy).min(LevelFilter::WARN));
    vec![
        layer(&log.common, writer.clone()).with_filter(common).boxed(),
        layer(&log.proxy, writer.clone()).with_filter(proxy).boxed(),
        layer(&log.management, writer).with_filter(only(&MANAGEMENT, &log.management)).boxed(),
    ]
}

fn level(style: &LogStyle) -> LevelFilter {
    style.level.parse().unwrap_or(LevelFilter::INFO)
}

fn layer<S>(style: &LogStyle, writer: NonBlocking) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let writer = move || redact::Redacted::new(writer.clone());
    if style.json {
        let layer = tracing_subscriber::fmt::layer().json().flatten_event(true);
        layer.with_current_span(false).with_writer(writer).boxed()
    } else {
        tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, sync::Arc};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(log: &Log, say: impl FnOnce()) -> String {
        let sink = Sink::default();
        let (writer, guard) = NonBlockingBuilder::default().finish(sink.clone());
        let subscriber = tracing_subscriber::registry().with(layers(log, writer));
        tracing::subscriber::with_default(subscriber, say);
        drop(guard);
        String::from_utf8(sink.0.lock().unwrap().clone()).unwrap()
    }

    fn style(level: &str, json: bool) -> LogStyle {
        LogStyle { level: level.into(), json }
    }

    #[test]
    fn each_plane_has_its_own_level_and_form() {
        let log = Log {
            common: style("info", false),
            proxy: style("warn", true),
            management: style("debug", false),
            directives: None,
        };
        let said = lines(&log, || {
            tracing::info!(target: "tollgate", "front door");
            tracing::debug!(target: "tollgate", "hidden");
            tracing::info!(target: "proxy::hall", "hidden");
            tracing::warn!(target: "proxy::hall", "hall");
            tracing::debug!(target: "management::api", "office");
            tracing::info!(target: "pingora_core::server", "hidden");
            tracing::debug!(target: "sqlx::query", "hidden");
        });
        assert!(!said.contains("hidden"), "{said}");
        assert!(said.contains("front door") && said.contains("office"), "{said}");
        let hall = said.lines().find(|line| line.contains("hall")).unwrap();
        let hall: serde_json::Value = serde_json::from_str(hall).unwrap();
        assert_eq!(hall["message"], "hall");
    }

    #[test]
    fn pingora_never_says_more_than_warnings() {
        let all = style("trace", false);
        let log =
            Log { common: all.clone(), proxy: all.clone(), management: all, directives: None };
        let said = lines(&log, || {
            tracing::debug!(target: "pingora_proxy", "the raw head");
            tracing::warn!(target: "pingora_proxy", "a warning");
            tracing::trace!(target: "proxy", "ours");
        });
        assert!(!said.contains("raw head"), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn no_line_shows_a_secret() {
        let log = Log {
            common: style("info", true),
            proxy: style("info", false),
            management: style("info", false),
            directives: Some("info".into()),
        };
        let said = lines(&log, || {
            tracing::info!(header = "Bearer abcdefghijklmnop", "calling with sk-proj-1234567890");
        });
        assert!(!said.contains("abcdefgh") && !said.contains("1234567"), "{said}");
    }
}
