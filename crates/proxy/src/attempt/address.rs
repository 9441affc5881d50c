//! Where at a provider a call goes: the path behind the base URL, and the query.

use domain::{PathStyle, QueryField, Upstream};

use crate::headers::percent_encode;

/// Where Google has uploads, downloads and sockets.
const ROOFS: [&str; 3] = ["/upload/", "/download/", "/ws/"];
/// The versions that a base URL may end with there.
const VERSIONS: [&str; 3] = ["v1beta", "v1alpha", "v1"];

/// Appends the path of a call on a model route. `path` is the client's own, or that of the target's
/// dialect: it begins with a version.
pub(crate) fn push_path(head: &mut Vec<u8>, upstream: &Upstream, path: &str, model: Option<&str>) {
    let base = upstream.base_url.path();
    if ROOFS.iter().any(|roof| path.starts_with(roof)) {
        // They go to the root, whatever version stands in the base URL.
        let root = base.rsplit_once('/').filter(|(_, last)| VERSIONS.contains(last));
        head.extend_from_slice(root.map_or(base, |(root, _)| root).as_bytes());
        head.extend_from_slice(path.as_bytes());
        return;
    }
    let version = version_of(path).unwrap_or_default();
    let rest = &path[1 + version.len()..];
    head.extend_from_slice(base.as_bytes());
    match upstream.paths {
        // Many write the version into the base URL (`https://api.groq.com/openai/v1`): then it is
        // not said twice.
        PathStyle::Versioned if base.rsplit('/').next() == Some(version) && !version.is_empty() => {
            head.extend_from_slice(rest.as_bytes());
        }
        PathStyle::Versioned => head.extend_from_slice(path.as_bytes()),
        PathStyle::AsBase => head.extend_from_slice(rest.as_bytes()),
        PathStyle::Deployment => {
            head.extend_from_slice(b"/openai");
            if let Some(model) = model.filter(|model| !model.is_empty()) {
                head.extend_from_slice(b"/deployments/");
                push_segment(head, model, b"?#\\/%");
            }
            head.extend_from_slice(rest.as_bytes());
        }
    }
}

fn version_of(path: &str) -> Option<&str> {
    path.strip_prefix('/')?.split('/').next()
}

/// A model's name in a path: what would end the line, and `reserved`, is escaped. A name from the
/// client's own path is escaped already.
pub(crate) fn push_segment(head: &mut Vec<u8>, model: &str, reserved: &[u8]) {
    for byte in model.bytes() {
        if byte.is_ascii_graphic() && !reserved.contains(&byte) {
            head.push(byte);
        } else {
            head.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
}

/// The query with the fields that every call there has, where the client did not say them.
pub(crate) fn with_fields(query: Option<String>, fields: &[QueryField]) -> Option<String> {
    let mut query = query;
    for field in fields {
        let text = query.as_deref().unwrap_or_default();
        if !text.split('&').any(|said| said.split('=').next() == Some(&field.name)) {
            query = joined(query, format!("{}={}", field.name, field.value));
        }
    }
    query
}

/// The query with the provider key in it.
pub(crate) fn with_key(query: Option<String>, key: Option<(&str, &str)>) -> Option<String> {
    match key {
        Some((name, value)) => joined(query, format!("{name}={}", percent_encode(value))),
        None => query,
    }
}

fn joined(query: Option<String>, field: String) -> Option<String> {
    Some(match query {
        Some(query) if !query.is_empty() => format!("{query}&{field}"),
        _ => field,
    })
}

#[cfg(test)]
mod tests {
    use domain::{BaseUrl, UpstreamId, UserId};

    use super::*;

    #[test]
    fn a_path_is_joined_as_the_upstream_wants_it() {
        use PathStyle::{AsBase, Deployment, Versioned};
        let check = |base: &str, paths, path: &str, wanted: &str| {
            let base = BaseUrl::parse(&format!("https://h.test{base}")).unwrap();
            let mut upstream = Upstream::new(UpstreamId(1), UserId(1), "up", base);
            upstream.paths = paths;
            let mut head = Vec::new();
            push_path(&mut head, &upstream, path, Some("a/b"));
            assert_eq!(String::from_utf8(head).unwrap(), wanted);
        };
        check("", Versioned, "/v1/messages", "/v1/messages");
        check("/openai/v1", Versioned, "/v1/messages", "/openai/v1/messages");
        check("/openai/v4", Versioned, "/v1/messages", "/openai/v4/v1/messages");
        check("/paas/v4", AsBase, "/v1/chat/completions", "/paas/v4/chat/completions");
        check("", AsBase, "/v1/x", "/x");
        let deployment = "/openai/deployments/a%2Fb/chat/completions";
        check("", Deployment, "/v1/chat/completions", deployment);
        check("/v1beta", Versioned, "/upload/v1beta/files", "/upload/v1beta/files");
        check("/g", Versioned, "/upload/v1beta/files", "/g/upload/v1beta/files");
        check("/v1beta", Versioned, "/upload/v1alpha/files", "/upload/v1alpha/files");
        check("/v1beta", Versioned, "/ws/google.x.Y", "/ws/google.x.Y");
    }

    #[test]
    fn the_clients_own_fields_win() {
        let fields = [("api-version", "2"), ("x", "1")]
            .map(|(name, value)| QueryField { name: name.into(), value: value.into() });
        let check = |query: Option<&str>, wanted: &str| {
            assert_eq!(with_fields(query.map(str::to_owned), &fields).as_deref(), Some(wanted));
        };
        check(None, "api-version=2&x=1");
        check(Some("api-version=1"), "api-version=1&x=1");
        check(Some(""), "api-version=2&x=1");
        let keyed = with_key(Some("alt=sse".into()), Some(("key", "a&b")));
        assert_eq!(keyed.as_deref(), Some("alt=sse&key=a%26b"));
    }
}
