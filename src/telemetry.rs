//! Logging: log lines on standard output, as text or JSON, with a level for each plane. [`redact`]
//! removes secrets before any sink.

mod redact;

use std::sync::Mutex;

use tracing::{Subscriber, level_filters::LevelFilter};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::Targets, layer::SubscriberExt, registry::LookupSpan,
    reload, util::SubscriberInitExt,
};

use crate::config::{Log, LogStyle};

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The data plane's own crates.
const PROXY: [&str; 3] = ["proxy", "dialect", "cluster"];
/// The management plane's.
const MANAGEMENT: [&str; 2] = ["management", "axum"];
/// Crates that log heads, targets or statements below this level.
const CAPPED: [&str; 5] = ["h2", "hyper", "rustls", "reqwest", "tower_http"];
/// Crates whose lines add nothing to ours; `RUST_LOG` shows them. Pingora's warnings are lines of
/// the data plane.
const SILENT: [&str; 3] = ["pingora", "sqlx", "sea_orm"];

/// The plane whose lines a filter lets through.
#[derive(Debug, Clone, Copy)]
enum Whose {
    Common,
    Proxy,
    Management,
}

/// A filter whose level can be changed.
type Level = reload::Handle<Targets, Registry>;

/// Holds the writer's thread; the last lines are written when it ends.
#[derive(Debug)]
pub(crate) struct Logs {
    guard: Mutex<Option<WorkerGuard>>,
    levels: Vec<(Whose, Level)>,
}

impl Logs {
    /// Writes pending lines. Nothing is logged after it.
    pub(crate) fn flush(&self) {
        drop(self.guard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take());
    }

    /// Applies the levels of `log`. If `RUST_LOG` sets the levels they stay.
    pub(crate) fn set_levels(&self, log: &Log) {
        for (whose, level) in &self.levels {
            // It fails only if nothing is logged any more.
            let _ = level.reload(targets(*whose, log));
        }
    }
}

/// Masks what looks like a secret in recorded bodies.
pub(crate) fn masked(bytes: &[u8]) -> Vec<u8> {
    redact::masked(bytes)
}

/// Starts logging. A slow reader loses lines; it never slows a call.
pub(crate) fn start(log: &Log) -> Logs {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).finish(std::io::stdout());
    let (layers, levels) = layers(log, writer);
    tracing_subscriber::registry().with(layers).init();
    Logs { guard: Mutex::new(Some(guard)), levels }
}

fn layers(log: &Log, writer: NonBlocking) -> (Vec<BoxedLayer>, Vec<(Whose, Level)>) {
    if let Some(directives) = &log.directives {
        let filter = EnvFilter::builder().parse_lossy(directives);
        return (vec![layer(&log.common, writer).with_filter(filter).boxed()], Vec::new());
    }
    let parts = [
        (Whose::Common, &log.common),
        (Whose::Proxy, &log.proxy),
        (Whose::Management, &log.management),
    ];
    let part = |(whose, style): (Whose, &LogStyle)| {
        let (filter, handle) = reload::Layer::new(targets(whose, log));
        (layer(style, writer.clone()).with_filter(filter).boxed(), (whose, handle))
    };
    parts.map(part).into_iter().unzip()
}

/// Returns the filter of a plane.
fn targets(whose: Whose, log: &Log) -> Targets {
    let only = |names: &[&'static str], style: &LogStyle| {
        let level = level(style);
        names.iter().fold(Targets::new(), |targets, name| targets.with_target(*name, level))
    };
    match whose {
        Whose::Common => {
            let mut common = Targets::new().with_default(level(&log.common));
            for name in CAPPED {
                common = common.with_target(name, level(&log.common).min(LevelFilter::WARN));
            }
            for name in SILENT.iter().chain(&PROXY).chain(&MANAGEMENT) {
                common = common.with_target(*name, LevelFilter::OFF);
            }
            common
        }
        Whose::Proxy => only(&PROXY, &log.proxy)
            .with_target("pingora", level(&log.proxy).min(LevelFilter::WARN)),
        Whose::Management => only(&MANAGEMENT, &log.management),
    }
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

    fn lines(log: &Log, say: impl FnOnce(&Logs)) -> String {
        let sink = Sink::default();
        let (writer, guard) = NonBlockingBuilder::default().finish(sink.clone());
        let (layers, levels) = layers(log, writer);
        let logs = Logs { guard: Mutex::new(Some(guard)), levels };
        let subscriber = tracing_subscriber::registry().with(layers);
        tracing::subscriber::with_default(subscriber, || say(&logs));
        logs.flush();
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
        let said = lines(&log, |_| {
            tracing::info!(target: "tollgate", "front door");
            tracing::debug!(target: "tollgate", "hidden");
            tracing::info!(target: "proxy::hall", "hidden");
            tracing::warn!(target: "proxy::hall", "hall");
            tracing::debug!(target: "management::api", "office");
            tracing::info!(target: "pingora_core::server", "hidden");
            tracing::warn!(target: "sqlx::query", "hidden");
            tracing::error!(target: "sqlx_core::pool", "hidden");
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
        let said = lines(&log, |_| {
            tracing::debug!(target: "pingora_proxy", "the raw head");
            tracing::warn!(target: "pingora_proxy", "a warning");
            tracing::trace!(target: "proxy", "ours");
        });
        assert!(!said.contains("raw head"), "{said}");
        assert_eq!(said.lines().count(), 2, "{said}");
    }

    #[test]
    fn how_much_is_logged_can_change_while_it_runs() {
        let all = |level| Log {
            common: style(level, false),
            proxy: style(level, false),
            management: style(level, false),
            directives: None,
        };
        let said = lines(&all("warn"), |logs| {
            tracing::info!(target: "proxy", "too early");
            logs.set_levels(&all("debug"));
            tracing::debug!(target: "proxy", "of the data plane");
            tracing::debug!(target: "tollgate", "of neither");
            logs.set_levels(&all("error"));
            tracing::warn!(target: "management", "too late");
        });
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("of the data plane") && said.contains("of neither"), "{said}");
    }

    #[test]
    fn no_line_shows_a_secret() {
        let log = Log {
            common: style("info", true),
            proxy: style("info", false),
            management: style("info", false),
            directives: Some("info".into()),
        };
        let said = lines(&log, |_| {
            tracing::info!(header = "Bearer abcdefghijklmnop", "calling with sk-proj-1234567890");
        });
        assert!(!said.contains("abcdefgh") && !said.contains("1234567"), "{said}");
    }
}
