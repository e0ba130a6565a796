//! The URLs we accept, parsed once.
//!
//! `http` and `https` with a host, a port and a path. User names, fragments, spaces and control
//! characters are refused with what and where; other odd characters of path and query are
//! percent-encoded, so that what is sent is always well formed. Nothing is looked up here.

use core::net::Ipv6Addr;
use std::fmt;
use std::ops::Range;

use crate::limits::{HOST_BYTES_MAX, URL_BYTES_MAX};

/// A parsed URL, in its normal form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Url {
    text: String,
    scheme: Scheme,
    /// Within `text`, without the brackets of an IPv6 address. Never empty.
    host: Range<usize>,
    port: u16,
    /// Where path and query begin in `text`; the byte there is `/`.
    target: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    Http,
    Https,
}

/// What is wrong with a URL, and at which byte of the text that was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UrlError {
    pub fault: UrlFault,
    pub at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlFault {
    TooLong,
    NotHttp,
    User,
    Fragment,
    Control,
    Space,
    Backslash,
    NoHost,
    HostByte,
    HostTooLong,
    Address,
    Port,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.fault {
            UrlFault::TooLong => return write!(f, "url is longer than {URL_BYTES_MAX} bytes"),
            UrlFault::NotHttp => return write!(f, "url does not begin with http:// or https://"),
            UrlFault::User => "a user name, which is not accepted there",
            UrlFault::Fragment => "a fragment, which is never sent",
            UrlFault::Control => "a control character",
            UrlFault::Space => "a space",
            UrlFault::Backslash => "a backslash",
            UrlFault::NoHost => "no host",
            UrlFault::HostByte => "a character that no host name has",
            UrlFault::HostTooLong => "a host name that is too long",
            UrlFault::Address => "an address in brackets that is not IPv6",
            UrlFault::Port => "a port that is not a number from 1 to 65535",
        };
        write!(f, "url has {what} at byte {}", self.at)
    }
}

impl Url {
    pub fn parse(given: &str) -> Result<Url, UrlError> {
        let fault = |fault, at| Err(UrlError { fault, at });
        if given.len() > URL_BYTES_MAX {
            return fault(UrlFault::TooLong, URL_BYTES_MAX);
        }
        if let Some(at) = given.bytes().position(|byte| byte.is_ascii_control()) {
            return fault(UrlFault::Control, at);
        }
        if let Some(at) = given.find(' ') {
            return fault(UrlFault::Space, at);
        }
        // Readers disagree whether it ends the host, so no meaning of it is safe.
        if let Some(at) = given.find('\\') {
            return fault(UrlFault::Backslash, at);
        }
        let (scheme, start) = Scheme::of(given)?;
        let authority_end =
            given[start..].find(['/', '?', '#']).map_or(given.len(), |at| start + at);
        if let Some(at) = given[start..authority_end].find('@') {
            // The place only: what stands before it may be a password.
            return fault(UrlFault::User, start + at);
        }
        if let Some(at) = given[authority_end..].find('#') {
            return fault(UrlFault::Fragment, authority_end + at);
        }
        let (host, port) = parse_authority(given, start..authority_end)?;
        let port = port.unwrap_or(scheme.port());

        let mut text = String::with_capacity(given.len() + 1);
        text.push_str(scheme.name());
        text.push_str("://");
        let bracketed = given.as_bytes()[host.start..host.end].contains(&b':');
        if bracketed {
            text.push('[');
        }
        let host_start = text.len();
        text.extend(given[host].chars().map(|letter| letter.to_ascii_lowercase()));
        let host = host_start..text.len();
        if bracketed {
            text.push(']');
        }
        if port != scheme.port() {
            text.push_str(&format!(":{port}"));
        }
        let target = text.len();
        if !given[authority_end..].starts_with('/') {
            text.push('/');
        }
        push_encoded(&mut text, &given[authority_end..], is_plain_in_target);
        if text.len() > URL_BYTES_MAX {
            return fault(UrlFault::TooLong, given.len());
        }
        Ok(Url { text, scheme, host, port, target })
    }

    /// This URL with `path` below its own path, and `query` after its own query.
    ///
    /// Slashes at the end of the own path are dropped first; `path` begins with one. Names and
    /// values of `query` are percent-encoded.
    pub fn join(&self, path: &str, query: &[(&str, &str)]) -> Result<Url, UrlError> {
        let target = &self.text[self.target..];
        let (own_path, own_query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let mut text = self.text[..self.target].to_owned();
        text.push_str(own_path.trim_end_matches('/'));
        text.push_str(path);
        let mut separator = '?';
        if let Some(own_query) = own_query.filter(|query| !query.is_empty()) {
            text.push(separator);
            text.push_str(own_query);
            separator = '&';
        }
        for (name, value) in query {
            text.push(separator);
            push_encoded(&mut text, name, is_unreserved);
            text.push('=');
            push_encoded(&mut text, value, is_unreserved);
            separator = '&';
        }
        Url::parse(&text)
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case, an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        &self.text[self.host.clone()]
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as the request line has them.
    pub fn target(&self) -> &str {
        &self.text[self.target..]
    }

    /// Scheme, host and port, as in `https://example.org`: who is spoken to.
    pub fn origin(&self) -> &str {
        &self.text[..self.target]
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    pub fn port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }

    /// The scheme of a URL, and where its authority begins.
    fn of(given: &str) -> Result<(Scheme, usize), UrlError> {
        for scheme in [Scheme::Http, Scheme::Https] {
            let length = scheme.name().len();
            let named = given.get(..length).is_some_and(|s| s.eq_ignore_ascii_case(scheme.name()));
            if named && given[length..].starts_with("://") {
                return Ok((scheme, length + 3));
            }
        }
        Err(UrlError { fault: UrlFault::NotHttp, at: 0 })
    }
}

/// Where in `given` the host is, and the port if one is named.
fn parse_authority(
    given: &str,
    authority: Range<usize>,
) -> Result<(Range<usize>, Option<u16>), UrlError> {
    let fault = |fault, at| Err(UrlError { fault, at });
    let start = authority.start;
    let text = &given[authority];
    let (host, rest) = if let Some(inner) = text.strip_prefix('[') {
        let Some(length) = inner.find(']') else {
            return fault(UrlFault::Address, start);
        };
        if inner[..length].parse::<Ipv6Addr>().is_err() {
            return fault(UrlFault::Address, start + 1);
        }
        (start + 1..start + 1 + length, start + length + 2)
    } else {
        let length = text.find(':').unwrap_or(text.len());
        if let Some(at) = text[..length].bytes().position(|byte| !is_host_byte(byte)) {
            return fault(UrlFault::HostByte, start + at);
        }
        (start..start + length, start + length)
    };
    if host.is_empty() {
        return fault(UrlFault::NoHost, start);
    }
    if host.len() > HOST_BYTES_MAX {
        return fault(UrlFault::HostTooLong, start);
    }
    let rest_text = &given[rest..start + text.len()];
    let port = match rest_text.strip_prefix(':') {
        None if rest_text.is_empty() => None,
        None => return fault(UrlFault::HostByte, rest),
        Some("") => None,
        Some(digits) => match digits.parse::<u16>() {
            Ok(port) if port > 0 && !digits.starts_with('+') => Some(port),
            Ok(_) | Err(_) => return fault(UrlFault::Port, rest + 1),
        },
    };
    Ok((host, port))
}

fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 `pchar`, and what divides path and query; a `%` is taken to encode something already.
fn is_plain_in_target(byte: u8) -> bool {
    is_unreserved(byte) || b"/?:@!$&'()*+,;=%".contains(&byte)
}

fn push_encoded(out: &mut String, text: &str, is_plain: fn(u8) -> bool) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(DIGITS[usize::from(byte >> 4)]));
            out.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
}

/// Parses anything; what is accepted must be its own normal form.
pub fn fuzz_parse(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Url::parse(text) {
        Ok(url) => {
            assert!(url.as_str().bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(!url.host().is_empty() && url.target().starts_with('/') && url.port() > 0);
            assert_eq!(Url::parse(url.as_str()).as_ref(), Ok(&url));
            if let Ok(joined) = url.join("/responses", &[("a b", text)]) {
                assert_eq!(joined.origin(), url.origin());
            }
        }
        Err(error) => assert!(error.at <= text.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(given: &str, scheme: Scheme, host: &str, port: u16, target: &str, text: &str) {
        let url = Url::parse(given).unwrap();
        assert_eq!(
            (url.scheme(), url.host(), url.port(), url.target(), url.as_str()),
            (scheme, host, port, target, text),
            "{given}"
        );
    }

    #[test]
    fn names_addresses_ports_and_paths_are_told_apart() {
        use Scheme::{Http, Https};
        check("https://api.example.org/v1", Https, "api.example.org", 443, "/v1", {
            "https://api.example.org/v1"
        });
        check("HTTP://LocalHost:11434", Http, "localhost", 11434, "/", "http://localhost:11434/");
        check(
            "http://127.0.0.1:80/a?b=c",
            Http,
            "127.0.0.1",
            80,
            "/a?b=c",
            "http://127.0.0.1/a?b=c",
        );
        check("https://[::1]:8443/", Https, "::1", 8443, "/", "https://[::1]:8443/");
        check("http://[FE80::1]", Http, "fe80::1", 80, "/", "http://[fe80::1]/");
        check("http://h?q", Http, "h", 80, "/?q", "http://h/?q");
        check("http://h:/x", Http, "h", 80, "/x", "http://h/x");
        check("http://h/ü|\"{}%41", Http, "h", 80, "/%C3%BC%7C%22%7B%7D%41", {
            "http://h/%C3%BC%7C%22%7B%7D%41"
        });
    }

    fn refuse(given: &str, fault: UrlFault, at: usize) {
        assert_eq!(Url::parse(given), Err(UrlError { fault, at }), "{given}");
    }

    #[test]
    fn what_we_do_not_accept_is_named_with_its_place() {
        refuse("ftp://h", UrlFault::NotHttp, 0);
        refuse("http:/h", UrlFault::NotHttp, 0);
        refuse("", UrlFault::NotHttp, 0);
        refuse("http://u:p@h/", UrlFault::User, 10);
        refuse("http://h/a#b", UrlFault::Fragment, 10);
        refuse("http://h/a\nb", UrlFault::Control, 10);
        refuse("http://h/\u{7f}", UrlFault::Control, 9);
        refuse("http://h/a b", UrlFault::Space, 10);
        refuse("http:///a", UrlFault::NoHost, 7);
        refuse("http://:80", UrlFault::NoHost, 7);
        refuse("http://h\u{fc}/", UrlFault::HostByte, 8);
        refuse("http://h%41/", UrlFault::HostByte, 8);
        refuse("http://h\\@evil/", UrlFault::Backslash, 8);
        refuse("http://[::1/", UrlFault::Address, 7);
        refuse("http://[1.2.3.4]/", UrlFault::Address, 8);
        refuse("http://[::1]x/", UrlFault::HostByte, 12);
        refuse("http://h:0/", UrlFault::Port, 9);
        refuse("http://h:65536/", UrlFault::Port, 9);
        refuse("http://h:+8/", UrlFault::Port, 9);
        refuse("http://h:8:9/", UrlFault::Port, 9);
        let error = Url::parse("http://h/a\tb").unwrap_err();
        assert_eq!(error.to_string(), "url has a control character at byte 10");
    }

    #[test]
    fn urls_and_hosts_over_their_bound_are_refused() {
        let host = "h".repeat(HOST_BYTES_MAX);
        assert!(Url::parse(&format!("http://{host}/")).is_ok());
        refuse(&format!("http://{host}h/"), UrlFault::HostTooLong, 7);
        let fits = format!("http://h/{}", "p".repeat(URL_BYTES_MAX - 9));
        assert!(Url::parse(&fits).is_ok());
        refuse(&format!("{fits}p"), UrlFault::TooLong, URL_BYTES_MAX);
        let grows = format!("http://h/{}", "|".repeat(URL_BYTES_MAX - 9));
        refuse(&grows, UrlFault::TooLong, URL_BYTES_MAX);
    }

    fn join(base: &str, query: &[(&str, &str)]) -> String {
        Url::parse(base).unwrap().join("/responses", query).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_base_takes_a_path_and_query_parameters() {
        assert_eq!(join("https://h/v1", &[]), "https://h/v1/responses");
        assert_eq!(join("https://h/v1/", &[]), "https://h/v1/responses");
        assert_eq!(join("https://h", &[]), "https://h/responses");
        assert_eq!(
            join("https://h/o?k=1", &[("api-version", "2025-04-01"), ("a b", "ü&=/")]),
            "https://h/o/responses?k=1&api-version=2025-04-01&a%20b=%C3%BC%26%3D%2F"
        );
    }

    #[test]
    fn the_origin_is_scheme_host_and_unusual_port() {
        assert_eq!(Url::parse("https://H:443/x").unwrap().origin(), "https://h");
        assert_eq!(Url::parse("http://[::1]:81/x?y").unwrap().origin(), "http://[::1]:81");
    }

    #[test]
    fn the_fuzz_body_holds_for_its_seeds() {
        for seed in ["https://a.b:1/c?d", "http://[::ffff:1.2.3.4]/|", "http://a@b", "http://", "x"]
        {
            fuzz_parse(seed.as_bytes());
        }
        fuzz_parse(b"http://\xff");
    }
}
