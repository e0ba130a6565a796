//! Which proxy a request goes through, as the usual variables of the environment say.
//!
//! `https_proxy` is for `https`, `http_proxy` for `http`, `all_proxy` for what neither names, and
//! `no_proxy` lists whom to reach directly. Servers on this machine are always reached directly.
//! Pure: the environment is lent, and nothing is looked up, since the proxy resolves names itself.

use core::net::{IpAddr, Ipv6Addr};
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::wire::url::{Scheme, Url, UrlError, UrlFault};

/// The values of the variables that name proxies, with the names they were found under.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    https: Option<Named>,
    http: Option<Named>,
    all: Option<Named>,
    /// Whom to reach directly.
    direct: Option<String>,
}

/// An HTTP proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    url: Url,
    /// The value of `proxy-authorization`.
    authorization: Option<String>,
}

/// A proxy that is named but cannot be used, and by which variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProxyError {
    pub variable: &'static str,
    pub fault: ProxyFault,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyFault {
    Socks,
    /// The proxy is to be spoken to by TLS.
    Tls,
    Url(UrlError),
}

#[derive(Clone, PartialEq, Eq)]
struct Named {
    variable: &'static str,
    value: String,
}

impl Proxies {
    /// What the environment says. Variables that are empty say nothing.
    ///
    /// Upper case counts as well, but not for `http_proxy`: a CGI server sets `HTTP_PROXY` from the
    /// header of a request (CVE-2016-5385).
    pub fn of_environment(env: &dyn Fn(&str) -> Option<String>) -> Proxies {
        let named = |names: &[&'static str]| {
            names.iter().find_map(|&variable| {
                let value = env(variable)?.trim().to_owned();
                (!value.is_empty()).then_some(Named { variable, value })
            })
        };
        Proxies {
            https: named(&["https_proxy", "HTTPS_PROXY"]),
            http: named(&["http_proxy"]),
            all: named(&["all_proxy", "ALL_PROXY"]),
            direct: named(&["no_proxy", "NO_PROXY"]).map(|named| named.value),
        }
    }

    /// The proxy for a request to this URL; `None` if it goes to the server directly.
    pub fn choose(&self, url: &Url) -> Result<Option<Proxy>, ProxyError> {
        let own = match url.scheme() {
            Scheme::Https => &self.https,
            Scheme::Http => &self.http,
        };
        let Some(Named { variable, value }) = own.as_ref().or(self.all.as_ref()) else {
            return Ok(None);
        };
        let direct = self.direct.as_deref().unwrap_or_default();
        if is_loopback(url.host()) || is_listed(direct, url.host(), url.port()) {
            return Ok(None);
        }
        Proxy::parse(value).map(Some).map_err(|fault| ProxyError { variable, fault })
    }
}

impl Proxy {
    fn parse(value: &str) -> Result<Proxy, ProxyFault> {
        let (scheme, rest) = match value.split_once("://") {
            Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
            None => ("http".to_owned(), value),
        };
        if scheme.starts_with("socks") {
            return Err(ProxyFault::Socks);
        }
        if scheme == "https" {
            return Err(ProxyFault::Tls);
        }
        let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        // A password may hold an `@` that nobody has encoded.
        let (credentials, host) = match rest[..authority_end].rsplit_once('@') {
            Some((credentials, host)) => (Some(credentials), host),
            None => (None, &rest[..authority_end]),
        };
        let url = Url::parse(&format!("{scheme}://{host}")).map_err(ProxyFault::Url)?;
        let authorization = credentials.map(|credentials| {
            let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
            let mut plain = decoded(user);
            plain.push(b':');
            plain.extend(decoded(password));
            format!("Basic {}", BASE64_STANDARD.encode(plain))
        });
        Ok(Proxy { url, authorization })
    }

    pub fn host(&self) -> &str {
        self.url.host()
    }

    pub fn port(&self) -> u16 {
        self.url.port()
    }

    /// The value of `proxy-authorization`, if the proxy's URL holds credentials.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_deref()
    }
}

impl fmt::Display for Proxy {
    /// Its address, without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host().contains(':') {
            true => write!(f, "[{}]:{}", self.host(), self.port()),
            false => write!(f, "{}:{}", self.host(), self.port()),
        }
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

impl fmt::Debug for Proxies {
    /// The variables alone: their values may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [&self.https, &self.http, &self.all].into_iter().flatten();
        f.debug_set().entries(named.map(|named| named.variable)).finish()
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let variable = self.variable;
        match self.fault {
            ProxyFault::Socks => write!(
                f,
                "{variable} names a SOCKS proxy, which is not supported; name an HTTP proxy, or \
                 list the server in no_proxy"
            ),
            ProxyFault::Tls => write!(
                f,
                "{variable} names a proxy behind TLS, which is not supported; if it takes plain \
                 connections, name it with http://"
            ),
            // Places count from where the address begins, since what is before it may be secret.
            ProxyFault::Url(UrlError { fault, .. }) => {
                write!(f, "{variable} names no usable proxy: its {}", fault_text(fault))
            }
        }
    }
}

/// What is wrong, without the place: it would be that in a text nobody gave.
fn fault_text(fault: UrlFault) -> String {
    let text = UrlError { fault, at: 0 }.to_string();
    text.strip_suffix(" at byte 0").unwrap_or(&text).to_owned()
}

/// This machine, by any of its names.
fn is_loopback(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let is_local_name = host == "localhost" || host.ends_with(".localhost");
    is_local_name || address(host).is_some_and(|address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    Some(host.parse::<IpAddr>().ok()?.to_canonical())
}

/// Whether a server is in a list of those to be reached directly.
///
/// Between commas or blanks stand `*`, names, which mean themselves and what is below them, and
/// addresses and networks; a name or address may be followed by a port.
fn is_listed(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.');
    list.split([',', ' ', '\t', '\n']).any(|entry| covers(entry, host, port))
}

fn covers(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some((network, bits)) = entry.split_once('/') {
        return is_within(network, bits, host);
    }
    let (name, only_port) = split_port(entry);
    if only_port.is_some_and(|only| only != Some(port)) {
        return false;
    }
    match (address(name), address(host)) {
        (Some(listed), host) => return host == Some(listed),
        // An address ends like a name only by chance.
        (None, Some(_)) => return false,
        (None, None) => {}
    }
    let name = name.strip_prefix('*').unwrap_or(name).trim_matches('.').to_ascii_lowercase();
    let above = host.strip_suffix(&*name);
    !name.is_empty() && above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
}

/// Name and port; the port is `Some(None)` if what stands there is none.
fn split_port(entry: &str) -> (&str, Option<Option<u16>>) {
    if let Some((inner, rest)) = entry.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (inner, rest.strip_prefix(':').map(|port| port.parse().ok()));
    }
    match entry.split_once(':') {
        // More than one colon: an address of IPv6.
        Some((name, port)) if !port.contains(':') => (name, Some(port.parse().ok())),
        Some(_) | None => (entry, None),
    }
}

fn is_within(network: &str, bits: &str, host: &str) -> bool {
    let network = network.trim_matches(['[', ']']).parse::<IpAddr>();
    let (Ok(network), Ok(bits), Some(host)) = (network, bits.parse::<u32>(), address(host)) else {
        return false;
    };
    let (network, host, width) = match (network, host) {
        (IpAddr::V4(network), IpAddr::V4(host)) => {
            (u128::from(network.to_bits()), u128::from(host.to_bits()), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(host)) => (network.to_bits(), host.to_bits(), 128),
        (IpAddr::V6(network), IpAddr::V4(host)) => {
            (network.to_bits(), Ipv6Addr::to_bits(host.to_ipv6_mapped()), 128)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) => return false,
    };
    // The first bits agree: nothing is left of the difference once the others are shifted out.
    bits <= width && (network ^ host).checked_shr(width - bits).unwrap_or(0) == 0
}

/// Text of a URL without its percent-encoding; what is none stays as it is.
fn decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let digit = |index: usize| char::from(*bytes.get(index)?).to_digit(16);
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                plain.push((high * 16 + low) as u8);
                at += 3;
            }
            _ => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(env: &[(&str, &str)]) -> Proxies {
        Proxies::of_environment(&|name| {
            env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    /// The proxy for this URL as text, with its authorization.
    fn check(env: &[(&str, &str)], url: &str, expected: Option<&str>) {
        let chosen = proxies(env).choose(&Url::parse(url).unwrap()).unwrap();
        let text = chosen.map(|proxy| proxy.to_string());
        assert_eq!(text.as_deref(), expected, "{env:?} {url}");
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let (plain, tls) = ("http://a.example/", "https://a.example/");
        let env = [("https_proxy", "http://s:1"), ("http_proxy", "http://p:2")];
        check(&env, tls, Some("s:1"));
        check(&env, plain, Some("p:2"));
        check(&env[..1], plain, None);
        check(&env[1..], tls, None);
        check(&[("HTTPS_PROXY", "http://s:1")], tls, Some("s:1"));
        check(&[("https_proxy", "l:1"), ("HTTPS_PROXY", "u:1")], tls, Some("l:1"));
        check(&[("HTTP_PROXY", "http://p:2")], plain, None);
        for all in ["ALL_PROXY", "all_proxy"] {
            check(&[(all, "http://a:3")], plain, Some("a:3"));
            check(&[(all, "http://a:3")], tls, Some("a:3"));
            check(&[(all, "http://a:3"), env[0]], tls, Some("s:1"));
            check(&[(all, "http://a:3"), ("https_proxy", " ")], tls, Some("a:3"));
        }
        check(&[], tls, None);
    }

    #[test]
    fn a_proxy_is_named_in_any_usual_form() {
        for (value, expected) in [
            ("proxy.example", "proxy.example:80"),
            ("Proxy.Example:3128", "proxy.example:3128"),
            ("HTTP://proxy:3128/", "proxy:3128"),
            ("http://[::1]:3128", "[::1]:3128"),
            ("http://user:p@ss@proxy:3128/x?y#z", "proxy:3128"),
            (" http://proxy ", "proxy:80"),
        ] {
            check(&[("https_proxy", value)], "https://a.example/", Some(expected));
        }
    }

    #[test]
    fn this_machine_is_never_reached_through_a_proxy() {
        let env = [("ALL_PROXY", "http://proxy:1")];
        for host in [
            "localhost",
            "LocalHost",
            "localhost.",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "[::ffff:127.0.0.1]",
        ] {
            check(&env, &format!("http://{host}:8080/"), None);
            check(&env, &format!("https://{host}/"), None);
        }
        check(&env, "http://localhost.example/", Some("proxy:1"));
        check(&env, "http://128.0.0.1/", Some("proxy:1"));
    }

    #[test]
    fn listed_servers_are_reached_directly() {
        for (list, url, is_direct) in [
            ("*", "http://a.example/", true),
            ("a.example", "http://a.example/", true),
            ("A.Example", "http://a.example./", true),
            ("a.example", "http://b.a.example/", true),
            ("a.example", "http://ba.example/", false),
            ("a.example", "http://a.example.org/", false),
            (".a.example", "http://b.a.example/", true),
            (".a.example", "http://a.example/", true),
            (".a.example", "http://ba.example/", false),
            ("*.a.example", "http://b.a.example/", true),
            ("b.example, a.example", "http://a.example/", true),
            ("b.example a.example", "http://a.example/", true),
            (",,", "http://a.example/", false),
            (".", "http://a.example/", false),
            ("a.example:8080", "http://a.example:8080/", true),
            ("a.example:8080", "http://a.example/", false),
            ("a.example:443", "https://a.example/", true),
            ("a.example:x", "http://a.example/", false),
            ("10.1.2.3", "http://10.1.2.3/", true),
            ("10.1.2.3:80", "http://10.1.2.3/", true),
            ("10.1.2.3:81", "http://10.1.2.3/", false),
            ("10.1.2.3", "http://10.1.2.30/", false),
            ("2.3", "http://10.1.2.3/", false),
            ("10.0.0.0/8", "http://10.1.2.3/", true),
            ("10.0.0.0/8", "http://11.1.2.3/", false),
            ("10.1.2.2/31", "http://10.1.2.3/", true),
            ("10.1.2.3/32", "http://10.1.2.2/", false),
            ("0.0.0.0/0", "http://11.1.2.3/", true),
            ("0.0.0.0/0", "http://a.example/", false),
            ("10.0.0.0/33", "http://10.1.2.3/", false),
            ("10.0.0.0/", "http://10.0.0.0/", false),
            ("10.0.0.0/8", "http://[::ffff:10.1.2.3]/", true),
            ("fd00::1", "http://[fd00::1]/", true),
            ("[fd00::1]:80", "http://[fd00::1]/", true),
            ("[fd00::1]:81", "http://[fd00::1]/", false),
            ("fd00::/8", "http://[fd12::1]/", true),
            ("fd00::/8", "http://[fe12::1]/", false),
            ("::/0", "http://[fe12::1]/", true),
            ("10.0.0.0/8", "http://[fe12::1]/", false),
        ] {
            for variable in ["no_proxy", "NO_PROXY"] {
                let env = [("ALL_PROXY", "http://proxy:1"), (variable, list)];
                check(&env, url, (!is_direct).then_some("proxy:1"));
            }
        }
    }

    #[test]
    fn credentials_go_into_a_header_and_nowhere_else() {
        for (value, plain) in [
            ("http://user:secret@proxy", Some("user:secret")),
            ("http://user@proxy", Some("user:")),
            ("http://us%65r:p%40%3a%@proxy", Some("user:p@:%")),
            ("http://proxy", None),
        ] {
            let all = proxies(&[("https_proxy", value)]);
            let proxy = all.choose(&Url::parse("https://a.example/").unwrap()).unwrap().unwrap();
            let expected = plain.map(|plain| format!("Basic {}", BASE64_STANDARD.encode(plain)));
            assert_eq!(proxy.authorization(), expected.as_deref(), "{value}");
            let shown = format!("{proxy} {proxy:?} {all:?}");
            assert!(!shown.contains("secret") && !shown.contains("user"), "{shown}");
        }
    }

    #[test]
    fn proxies_that_cannot_be_used_are_refused_by_name() {
        for (value, fault, part) in [
            ("socks5://proxy:1080", ProxyFault::Socks, "all_proxy names a SOCKS proxy, which"),
            ("SOCKS5H://u:p@proxy", ProxyFault::Socks, "or list the server in no_proxy"),
            ("https://proxy", ProxyFault::Tls, "a proxy behind TLS"),
            (
                "ftp://proxy",
                ProxyFault::Url(UrlError { fault: UrlFault::NotHttp, at: 0 }),
                "its url does not begin with http://",
            ),
            (
                "http://user:secret@",
                ProxyFault::Url(UrlError { fault: UrlFault::NoHost, at: 7 }),
                "no usable proxy: its url has no host",
            ),
            (
                "proxy:99999",
                ProxyFault::Url(UrlError { fault: UrlFault::Port, at: 13 }),
                "a port that is not a number from 1 to 65535",
            ),
        ] {
            let all = proxies(&[("all_proxy", value)]);
            let error = all.choose(&Url::parse("https://a.example/").unwrap()).unwrap_err();
            assert_eq!(error, ProxyError { variable: "all_proxy", fault });
            let text = error.to_string();
            assert!(text.contains(part) && !text.contains("secret"), "{text}");
            assert_eq!(all.choose(&Url::parse("http://localhost/").unwrap()), Ok(None));
        }
    }
}
