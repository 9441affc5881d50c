//! Media embedded in a URL: `data:image/png;base64,…`.

use std::borrow::Cow;

/// The kind of a media URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address<'a> {
    /// The address of media elsewhere.
    Elsewhere(Cow<'a, str>),
    /// Embedded media: base64 in the standard alphabet, and the MIME type if it is given.
    Here(Cow<'a, str>, Option<Cow<'a, str>>),
    /// Embedded media that is not base64.
    Plain,
}

/// Parses a media URL; the scheme is case-insensitive.
pub(crate) fn read(url: Cow<'_, str>) -> Address<'_> {
    if !url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:")) {
        return Address::Elsewhere(url);
    }
    let Some((head, _)) = url.split_once(',') else { return Address::Plain };
    let begin = head.len() + 1;
    let mut words = head[5..].split(';').map(str::trim);
    let mime = words.next().filter(|mime| !mime.is_empty()).map(str::to_ascii_lowercase);
    if !words.any(|word| word.eq_ignore_ascii_case("base64")) {
        return Address::Plain;
    }
    let data = match url {
        Cow::Borrowed(url) => Cow::Borrowed(&url[begin..]),
        Cow::Owned(url) => Cow::Owned(url[begin..].to_owned()),
    };
    Address::Here(standard(data), mime.map(Cow::Owned))
}

/// Converts base64 to the standard alphabet, padded, without white space.
pub(crate) fn standard(data: Cow<'_, str>) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    if data.len().is_multiple_of(4) && data.bytes().all(plain) {
        return data;
    }
    let mut mended: String = data
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != '=')
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    while !mended.len().is_multiple_of(4) {
        mended.push('=');
    }
    Cow::Owned(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, want: Address<'_>) {
        assert_eq!(read(url.into()), want, "{url}");
        assert_eq!(read(Cow::Owned(url.to_owned())), want, "{url}");
    }

    fn here(data: &'static str, mime: &'static str) -> Address<'static> {
        Address::Here(data.into(), Some(mime).filter(|mime| !mime.is_empty()).map(Cow::Borrowed))
    }

    #[test]
    fn only_base64_is_taken_apart() {
        check("data:image/png;base64,iVBO", here("iVBO", "image/png"));
        check("DATA:Text/Plain;charset=utf-8;BASE64,aGk=", here("aGk=", "text/plain"));
        check("data:;base64,aGk=", here("aGk=", ""));
        check("data:text/plain,hi", Address::Plain);
        check("data:image/png", Address::Plain);
        let elsewhere = "https://example.com/a;base64,b";
        check(elsewhere, Address::Elsewhere(elsewhere.into()));
        check("dat", Address::Elsewhere("dat".into()));
    }

    #[test]
    fn base64_becomes_standard() {
        check("data:a/b;base64,-_-_", here("+/+/", "a/b"));
        check("data:a/b;base64,aG k\n", here("aGk=", "a/b"));
    }
}
