//! The address of a file that a client names in its request. Whether the gateway may go there is
//! decided by `outbound`, for each connection.

use url::{Position, Url};

use crate::BaseUrl;

/// An `http` or `https` address with a path and a query; never with a user or a password. The
/// fragment is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAddress {
    url: Url,
    base: BaseUrl,
}

impl FileAddress {
    /// Longest address, in bytes.
    pub const LENGTH_MAX: usize = 8 << 10;

    /// Reads an address; the message says what is wrong with it.
    ///
    /// # Errors
    /// It is too long, is not an `http` or `https` address, holds credentials, or names a port on
    /// which no files are served.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > Self::LENGTH_MAX {
            return Err(format!("must be at most {} bytes", Self::LENGTH_MAX));
        }
        let url =
            Url::parse(text).map_err(|_| "must be an address such as https://host/image.png")?;
        Self::of(url)
    }

    /// The address to which a redirect from here leads; `location` may be relative.
    ///
    /// # Errors
    /// As with [`FileAddress::parse`].
    pub fn redirected(&self, location: &str) -> Result<Self, String> {
        if location.len() > Self::LENGTH_MAX {
            return Err(format!("must be at most {} bytes", Self::LENGTH_MAX));
        }
        Self::of(self.url.join(location).map_err(|_| "must be an address or a path")?)
    }

    fn of(url: Url) -> Result<Self, String> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not hold a user or password".into());
        }
        let base = BaseUrl::parse(&url[..Position::BeforePath])?;
        Ok(Self { url, base })
    }

    /// Scheme, host and port.
    pub fn base(&self) -> &BaseUrl {
        &self.base
    }

    /// The path and the query, as they stand in the first line of a request.
    pub fn target(&self) -> &str {
        &self.url[Position::BeforePath..Position::AfterQuery]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_addresses_without_credentials_are_read() {
        for (text, expected) in [
            ("https://host.test/a.png", Some("/a.png")),
            ("HTTPS://Host.test", Some("/")),
            ("https://host.test/a b?sig=x%20y&é#part", Some("/a%20b?sig=x%20y&%C3%A9")),
            ("https://host.test/a\r\nx: y", Some("/ax:%20y")),
            ("http://127.0.0.1:9000/x", Some("/x")),
            ("https://user:secret@host.test/a", None),
            ("https://user@host.test/a", None),
            ("https://host.test:6379/a", None),
            ("https://host.test:22/a", None),
            ("file:///etc/passwd", None),
            ("gs://bucket/a.png", None),
            ("ftp://host.test/a", None),
            ("/a.png", None),
            ("", None),
        ] {
            let read = FileAddress::parse(text);
            assert_eq!(read.as_ref().ok().map(FileAddress::target), expected, "{text}");
        }
        let long = format!("https://host.test/{}", "x".repeat(FileAddress::LENGTH_MAX));
        assert!(FileAddress::parse(&long).is_err());
    }

    #[test]
    fn redirects_are_read_from_where_they_were_met() {
        let here = FileAddress::parse("https://host.test/a/b?c").unwrap();
        for (location, base, target) in [
            ("/d", "https://host.test", "/d"),
            ("d?e", "https://host.test", "/a/d?e"),
            ("//other.test/f", "https://other.test", "/f"),
            ("http://127.0.0.1:8000/g", "http://127.0.0.1:8000", "/g"),
        ] {
            let there = here.redirected(location).unwrap();
            assert_eq!((there.base().as_str(), there.target()), (base, target), "{location}");
        }
        for location in ["ftp://host.test/", "https://a:b@host.test/", "https://host.test:25/"] {
            assert!(here.redirected(location).is_err(), "{location}");
        }
    }
}
