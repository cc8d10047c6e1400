//! Where the caller sees the server: what URLs in answers begin with.

use axum::http::{HeaderMap, Uri, header, uri::Authority};

/// Scheme, host and prefix, without a slash at the end. Only the prefix where no host is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    host: Option<String>,
    text: String,
}

impl Base {
    /// As the request and the proxies in front say. What is no host, scheme or path in their headers is passed over.
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Base {
        let prefix = forwarded(headers, "x-forwarded-prefix").filter(|prefix| is_path(prefix));
        let prefix = prefix.map_or("", |prefix| prefix.trim_end_matches('/'));
        let named = || headers.get(header::HOST)?.to_str().ok();
        let own = || uri.authority().map(Authority::as_str).or_else(named);
        let forwarded_host = forwarded(headers, "x-forwarded-host").filter(|host| is_host(host));
        let Some(host) = forwarded_host.or_else(|| own().filter(|host| is_host(host))) else {
            return Base { host: None, text: prefix.to_owned() };
        };
        let scheme = forwarded(headers, "x-forwarded-proto");
        let scheme = if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https")) { "https" } else { "http" };
        Base { host: Some(host.to_owned()), text: format!("{scheme}://{host}{prefix}") }
    }

    /// The URL of a path that begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.text)
    }

    /// Whether that is the host, with its port, at which the caller sees the server.
    pub fn is_at(&self, host: &str) -> bool {
        self.host.as_ref().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }
}

/// What the proxy nearest to the caller has said.
fn forwarded<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim)
}

fn is_host(text: &str) -> bool {
    text.parse::<Authority>().is_ok_and(|host| !host.as_str().contains('@'))
}

/// Two slashes at the beginning would name a host.
fn is_path(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+,;=:@".contains(&byte);
    text.starts_with('/') && !text.starts_with("//") && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    #[test]
    fn urls_begin_as_the_caller_sees_the_server() {
        let table: [(&[(&str, &str)], &str); 9] = [
            (&[("host", "a:1")], "http://a:1/x"),
            (&[], "/x"),
            (&[("host", "a"), ("x-forwarded-proto", "https")], "https://a/x"),
            (&[("host", "a"), ("x-forwarded-proto", "HTTPS, http")], "https://a/x"),
            (&[("host", "a"), ("x-forwarded-proto", "javascript")], "http://a/x"),
            (&[("host", "a"), ("x-forwarded-host", "b.example, c")], "http://b.example/x"),
            (&[("host", "a"), ("x-forwarded-host", "u@b")], "http://a/x"),
            (&[("host", "a"), ("x-forwarded-prefix", "/soloist/")], "http://a/soloist/x"),
            (&[("x-forwarded-prefix", "//evil.example")], "/x"),
        ];
        for (headers, expected) in table {
            let mut request = Request::builder().uri("/y");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            assert_eq!(Base::of(&parts.uri, &parts.headers).url("/x"), expected, "{headers:?}");
        }
    }
}
