//! Media inside of an address: `data:image/png;base64,…`.

/// The MIME type and the base64 of a `data:` address; none where `url` is none, or is not base64.
/// The scheme may be written in any case, and parameters of the type are left out.
pub(crate) fn split(url: &str) -> Option<(&str, &str)> {
    let rest = is_data(url).then(|| &url[5..])?;
    let (head, data) = rest.split_once(',')?;
    let (mime, parameters) = head.split_once(';').unwrap_or((head, ""));
    let base64 = parameters.split(';').any(|one| one.trim().eq_ignore_ascii_case("base64"));
    base64.then(|| (mime.trim(), data.trim()))
}

/// Whether `url` is a `data:` address.
pub(crate) fn is_data(url: &str) -> bool {
    url.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(url: &str, want: Option<(&str, &str)>) {
        assert_eq!(split(url), want, "{url}");
    }

    #[test]
    fn only_base64_is_taken_apart() {
        check("data:image/png;base64,iVBO", Some(("image/png", "iVBO")));
        check("DATA:text/plain;charset=utf-8;BASE64,aGk=", Some(("text/plain", "aGk=")));
        check("data:;base64,aGk=", Some(("", "aGk=")));
        check("data:text/plain,hi", None);
        check("https://example.com/a;base64,b", None);
        check("dat", None);
    }
}
