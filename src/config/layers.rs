//! The layers of the configuration: file, overlay, variables and flags. Each value keeps its
//! origin, for error messages. The meaning of values is not handled here.

use std::{collections::BTreeMap, fmt};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::{
    parts::{Fault, Origin},
    settings::{self, Kind},
    value,
};

/// The value of one setting.
#[derive(Debug, Clone)]
pub(crate) struct Said {
    /// The texts; more than one for a list.
    pub(crate) items: Vec<String>,
    /// Whether the text names a file that contains the value.
    pub(crate) in_file: bool,
    /// The origin of the value.
    pub(crate) origin: Origin,
}

/// The values by the path of the setting; later layers override earlier ones.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    pub(crate) said: BTreeMap<&'static str, Said>,
    pub(crate) faults: Vec<Fault>,
    /// Notes about ignored values, for the log.
    pub(crate) notes: Vec<String>,
}

impl Layers {
    /// Adds a YAML file as the next layer.
    pub(crate) fn add_yaml(&mut self, name: &str, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let text = &quote_addresses(text);
        match serde_saphyr::from_str::<Spanned<Node>>(text) {
            Ok(root) => {
                let mut file = File { name, text, layers: self };
                file.walk("", &root);
            }
            Err(error) => {
                let (line, column) = error.location().map_or((1, 1), |at| (at.line(), at.column()));
                let message = error.without_snippet().to_string();
                let message = message.lines().next().unwrap_or_default().to_owned();
                let origin = Origin::File { name: name.into(), line, column };
                self.faults.push(Fault { origin, path: String::new(), message });
            }
        }
    }

    /// Adds variables as the next layer: `TOLLGATE_PROXY__ADDR` is `proxy.addr`.
    pub(crate) fn add_variables(&mut self, vars: impl IntoIterator<Item = (String, String)>) {
        let mut vars: Vec<_> = vars.into_iter().collect();
        vars.sort();
        let mut spoken: BTreeMap<&'static str, String> = BTreeMap::new();
        let mut services = Vec::new();
        for (name, value) in vars {
            let Some(rest) = name.strip_prefix("TOLLGATE_") else { continue };
            if RESERVED.contains(&rest) {
                continue;
            }
            if set_by_kubernetes(rest, &value) {
                services.push(name);
                continue;
            }
            let path = rest.to_ascii_lowercase().replace("__", ".");
            let origin = Origin::Variable(name.clone());
            if let Some(setting) = self.add(&path, vec![value], origin.clone())
                && let Some(other) = spoken.insert(setting, name)
            {
                let message = format!("is also said by {other}; say it once");
                self.faults.push(Fault { origin, path: setting.into(), message });
            }
        }
        if let Some(first) = services.first() {
            self.notes.push(format!(
                "ignored {} variables that Kubernetes sets for its services ({first} …); \
                 enableServiceLinks: false keeps them out",
                services.len()
            ));
        }
    }

    /// Adds a flag as the next layer.
    pub(crate) fn add_flag(&mut self, path: &str, flag: &str, value: String) {
        self.add(path, vec![value], Origin::Flag(flag.into()));
    }

    /// Adds a value for `path`; returns the path of the setting.
    fn add(&mut self, path: &str, items: Vec<String>, origin: Origin) -> Option<&'static str> {
        let secret = |setting: &&settings::Setting| setting.kind.is_secret();
        let of_file =
            path.strip_suffix("_file").and_then(|path| settings::find(path).filter(secret));
        let Some(setting) = settings::find(path).or(of_file) else {
            self.faults.push(Fault { origin, path: path.into(), message: unknown(path) });
            return None;
        };
        let in_file = setting.path != path;
        let outside = matches!(setting.kind, Kind::OutsideSecret);
        if outside && !in_file && matches!(origin, Origin::File { .. }) {
            let variable = variable(setting.path);
            let message = format!(
                "does not belong in a file that is copied and shared; use {path}_file or {variable}"
            );
            self.faults.push(Fault { origin, path: path.into(), message });
            return None;
        }
        let under = self.said.insert(setting.path, Said { items, in_file, origin });
        if let Some(under) = under
            && !under.in_file
            && !setting.kind.is_secret()
            && let Err(message) = value::parse(&setting.kind, &under.items)
        {
            // An overridden value must be valid too: it would prevent the start once it applies.
            self.faults.push(Fault { origin: under.origin, path: setting.path.into(), message });
        }
        Some(setting.path)
    }
}

/// Returns the variable of a setting.
pub(crate) fn variable(path: &str) -> String {
    format!("TOLLGATE_{}", path.to_ascii_uppercase().replace('.', "__"))
}

/// Variables with the prefix that are not settings.
const RESERVED: [&str; 2] = ["PROFILE", "CONFIG"];

/// Kubernetes sets these in every pod when a service is called `tollgate`, or `tollgate-proxy` and
/// the like: `TOLLGATE_PROXY_PORT=tcp://10.0.0.1:8080`, `TOLLGATE_PROXY_PORT_8080_TCP_ADDR`.
fn set_by_kubernetes(rest: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let port = rest == "PORT" || rest.ends_with("_PORT");
    port && (address || settings::find(&rest.to_ascii_lowercase()).is_none())
        || rest == "SERVICE_HOST"
        || rest.starts_with("SERVICE_PORT")
        || rest.starts_with("PORT_")
        || rest.contains("_SERVICE_HOST")
        || rest.contains("_SERVICE_PORT")
        || rest.contains("_PORT_")
}

/// Puts quotes around bare addresses such as `[::]:8080`: YAML would take the bracket for a list.
fn quote_addresses(text: &str) -> String {
    let quoted = |line: &str| {
        let at = line.find(": [")? + 2;
        let (before, rest) = line.split_at(at);
        let end = rest.find(" #").unwrap_or(rest.len());
        let (value, after) = rest.split_at(end);
        let address: std::net::SocketAddr = value.trim_end().parse().ok()?;
        let bare = !before.trim_start().starts_with('#') && address.is_ipv6();
        bare.then(|| format!("{before}\"{}\"{after}", value.trim_end()))
    };
    let lines = text.split('\n').map(|line| quoted(line).unwrap_or_else(|| line.to_owned()));
    lines.collect::<Vec<_>>().join("\n")
}

fn unknown(path: &str) -> String {
    match settings::nearest(path) {
        Some(known) => format!("is not a setting; did you mean `{known}`?"),
        None => "is not a setting; see tollgate.example.yaml".into(),
    }
}

/// A file while it is laid on top.
struct File<'a> {
    name: &'a str,
    text: &'a str,
    layers: &'a mut Layers,
}

impl File<'_> {
    fn walk(&mut self, path: &str, node: &Spanned<Node>) {
        let section = path.is_empty() || settings::is_section(path);
        match &node.value {
            Node::Null if section => {}
            Node::Map(entries) if section => {
                for (key, value) in entries {
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{}", key.value);
                    let known = settings::find(&path).is_some();
                    if settings::is_section(&path) {
                        self.walk(&path, value);
                    } else if !known && matches!(value.value, Node::Map(_)) {
                        self.fault(key, &path, unknown(&path));
                    } else {
                        // A wrong name is reported at the name, a wrong value at the value.
                        let at = if known { value.referenced } else { key.referenced };
                        self.leaf(&path, value, at);
                    }
                }
            }
            _ if section => {
                self.fault(node, path, "must hold settings, each on its own line".into())
            }
            _ => self.leaf(path, node, node.referenced),
        }
    }

    fn leaf(&mut self, path: &str, node: &Spanned<Node>, at: Location) {
        let items = match &node.value {
            Node::Null => return,
            Node::Scalar(text) => vec![text.clone()],
            Node::Plain => vec![self.written(node)],
            Node::List(items) => items
                .iter()
                .map(|item| match &item.value {
                    Node::Scalar(text) => text.clone(),
                    Node::Plain => self.written(item),
                    _ => String::new(),
                })
                .collect(),
            Node::Map(_) => return self.fault(node, path, "must be a value, not a section".into()),
        };
        let origin = Origin::File { name: self.name.into(), line: at.line(), column: at.column() };
        self.layers.add(path, items, origin);
    }

    /// Returns a plain scalar as it is written: YAML's type of `off`, `0123` or `1.10` does not
    /// matter, because the setting defines the type.
    fn written(&self, node: &Spanned<Node>) -> String {
        let span = node.defined.span();
        let (at, len) = (span.byte_offset(), span.byte_len());
        let text = at.zip(len).and_then(|(at, len)| {
            let (at, len) = (usize::try_from(at).ok()?, usize::try_from(len).ok()?);
            self.text.get(at..at.checked_add(len)?)
        });
        text.unwrap_or_default().trim().to_owned()
    }

    fn fault<T>(&mut self, at: &Spanned<T>, path: &str, message: String) {
        let (line, column) = (at.referenced.line(), at.referenced.column());
        let origin = Origin::File { name: self.name.into(), line, column };
        self.layers.faults.push(Fault { origin, path: path.into(), message });
    }
}

/// A YAML node without a type.
#[derive(Debug)]
enum Node {
    Null,
    Scalar(String),
    /// A plain scalar that YAML reads as a number or boolean; the file has its spelling.
    Plain,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a section")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Plain)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Scalar(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }
}
