//! The one path that every request takes before anything routes it: Host, Origin, method, and, for inference, who
//! asks. There is no other way in, so no endpoint can forget a check.

use std::hint::black_box;

use croft_domain::code::Code;
use croft_domain::usage::Sensitivity;
use http::{HeaderMap, Method, Uri, header};

use super::errors::{Dialect, Refusal};
use super::limits::API_KEY_LEN_MAX;
use super::policy::Policy;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A holder of the API key.
    Key,
    /// An enrolled person's process, as the kernel says.
    Uid(u32),
}

/// Who asks, and what it says of its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Who.
    pub caller: Caller,
    /// As declared; none: as the baseline takes it.
    pub declared: Option<Sensitivity>,
}

/// How refusals on that path are spelled.
#[must_use]
pub fn dialect(path: &str) -> Dialect {
    if path.starts_with("/api/") { Dialect::Ollama } else { Dialect::OpenAi }
}

/// Checks the Host: exactly one, and exactly a name of this listener. Anything else is a web page whose name was
/// rebound to this machine.
///
/// # Errors
/// [`Code::HostRefused`].
pub fn check_host(headers: &HeaderMap, uri: &Uri, port: u16) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::new(Code::HostRefused, "exactly one Host header is needed"));
    };
    let ours = |host: &[u8]| std::str::from_utf8(host).is_ok_and(|host| is_our_host(host, port));
    // A request line in absolute form names a host of its own.
    let authority_ours = uri.authority().is_none_or(|authority| ours(authority.as_str().as_bytes()));
    if ours(host.as_bytes()) && authority_ours {
        Ok(())
    } else {
        Err(Refusal::new(Code::HostRefused, "the Host header does not name this machine's loopback address"))
    }
}

fn is_our_host(host: &str, port: u16) -> bool {
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| {
        let Some((head, rest)) = host.split_at_checked(name.len()) else { return false };
        head.eq_ignore_ascii_case(name)
            && (rest.is_empty() || rest.strip_prefix(':').is_some_and(|text| text == port.to_string()))
    })
}

/// Refuses what a web page sends, unless the machine's owner named its origin. Editors send neither header.
///
/// # Errors
/// [`Code::OriginRefused`].
pub fn check_origin(policy: Option<&Policy>, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    if let (Some(origin), None) = (origins.next(), origins.next())
        && policy.is_some_and(|policy| policy.allows_origin(origin.as_bytes()))
    {
        return Ok(());
    }
    let from_other_site = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site.as_bytes() != b"none" && site.as_bytes() != b"same-origin");
    if headers.contains_key(header::ORIGIN) || from_other_site {
        return Err(Refusal::new(Code::OriginRefused, "requests of web pages are refused"));
    }
    Ok(())
}

/// Whether a browser asks what its page may ask. Only after [`check_origin`].
#[must_use]
pub fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ORIGIN)
}

/// Who asks: by API key, else by the uid that the kernel names for the other end of the connection.
///
/// # Errors
/// [`Code::CallerUnknown`].
pub fn caller(
    policy: &Policy,
    headers: &HeaderMap,
    peer_uid: impl FnOnce() -> Option<u32>,
) -> Result<Caller, Refusal> {
    if let (Some(expected), Some(key)) = (policy.api_key_sha256(), presented_key(headers))
        && is_key(key, expected)
    {
        return Ok(Caller::Key);
    }
    // Clients that were written for servers without keys send a made-up one, so a wrong key is no reason to refuse
    // an enrolled person's process.
    peer_uid().filter(|uid| policy.is_enrolled(*uid)).map(Caller::Uid).ok_or_else(|| {
        Refusal::new(
            Code::CallerUnknown,
            "unknown caller: neither an enrolled user's process nor a valid API key",
        )
    })
}

/// What the sender says its data is, in `X-Croft-Data-Class`.
///
/// # Errors
/// [`Code::RequestInvalid`] for a class that does not exist, and for two.
pub fn declared_class(headers: &HeaderMap) -> Result<Option<Sensitivity>, Refusal> {
    let mut declared = headers.get_all("x-croft-data-class").iter();
    let (first, second) = (declared.next(), declared.next());
    let Some(first) = first else { return Ok(None) };
    let named = first.to_str().ok().and_then(|name| Sensitivity::named(&name.trim().to_ascii_lowercase()));
    if named.is_none() || second.is_some() {
        let names: Vec<_> = Sensitivity::ALL.iter().map(|class| class.as_str()).collect();
        let message = format!("X-Croft-Data-Class must be given once, as one of {}", names.join(", "));
        return Err(Refusal::new(Code::RequestInvalid, message).about("X-Croft-Data-Class"));
    }
    Ok(named)
}

fn presented_key(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, key) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(key)
    });
    bearer.or_else(|| headers.get("x-api-key").map(http::HeaderValue::as_bytes)).map(<[u8]>::trim_ascii)
}

// Digests are compared, and all their bytes: the time says nothing about the key.
fn is_key(key: &[u8], expected: &[u8; 32]) -> bool {
    if key.is_empty() || key.len() > API_KEY_LEN_MAX {
        return false;
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, key);
    let difference = digest.as_ref().iter().zip(expected).fold(0_u8, |sum, (a, b)| black_box(sum | (a ^ b)));
    difference == 0
}

#[cfg(test)]
mod tests {
    use croft_proto::frames::GatewayPolicy;
    use http::HeaderValue;

    use super::super::clock::Moment;
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn p1_only_exact_loopback_hosts_pass() {
        let uri = Uri::from_static("/api/tags");
        let passes = |host| check_host(&headers(&[("host", host)]), &uri, 11535).is_ok();
        for host in ["127.0.0.1", "127.0.0.1:11535", "localhost", "LocalHost:11535", "[::1]", "[::1]:11535"] {
            assert!(passes(host), "{host}");
        }
        for host in [
            "",
            "127.0.0.1:80",
            "127.0.0.1:",
            "127.0.0.1:011535",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil.example",
            "foo.localhost",
            "localhost.",
            "0.0.0.0:11535",
            "127.1",
            "[::]",
            "::1",
            "user@127.0.0.1",
            "machine.local",
        ] {
            assert!(!passes(host), "{host}");
        }
        assert!(check_host(&HeaderMap::new(), &uri, 1).is_err());
        assert!(check_host(&headers(&[("host", "localhost"), ("host", "localhost")]), &uri, 1).is_err());
        let absolute = Uri::from_static("http://evil.example/api/tags");
        assert!(check_host(&headers(&[("host", "localhost")]), &absolute, 1).is_err());
    }

    #[test]
    fn p1_web_pages_are_refused() {
        for pair in [("origin", "http://localhost"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
            assert!(check_origin(None, &headers(&[pair])).is_err(), "{pair:?}");
        }
        let editor = headers(&[("sec-fetch-site", "none"), ("sec-fetch-mode", "cors")]);
        assert!(check_origin(None, &editor).is_ok());
        let allowed =
            GatewayPolicy { origins: vec!["http://localhost:3000".into()], ..GatewayPolicy::default() };
        let allowed = Policy::parse(allowed, Moment { wall_s: 0, boottime_ms: 0 });
        let page = |origin| check_origin(Some(&allowed), &headers(&[("origin", origin)]));
        assert!(page("http://localhost:3000").is_ok());
        for origin in
            ["http://localhost:3001", "https://localhost:3000", "http://localhost:3000/", "null", "*", ""]
        {
            assert!(page(origin).is_err(), "{origin:?}");
        }
        let two = headers(&[("origin", "http://localhost:3000"), ("origin", "http://evil.example")]);
        assert!(check_origin(Some(&allowed), &two).is_err());
    }

    #[test]
    fn callers_are_known_by_key_or_uid_and_by_nothing_else() {
        let digest = ring::digest::digest(&ring::digest::SHA256, b"secret");
        let policy = Policy::parse(
            GatewayPolicy {
                enrolled_uids: vec![1000, 0],
                api_key_sha256: hex::encode(digest),
                ..GatewayPolicy::default()
            },
            Moment { wall_s: 0, boottime_ms: 0 },
        );
        let who = |pairs: &[(&'static str, &'static str)], uid| caller(&policy, &headers(pairs), || uid).ok();
        assert_eq!(who(&[("authorization", "Bearer secret")], None), Some(Caller::Key));
        assert_eq!(who(&[("authorization", "bearer secret")], None), Some(Caller::Key));
        assert_eq!(who(&[("x-api-key", "secret")], None), Some(Caller::Key));
        assert_eq!(who(&[("authorization", "Bearer secre")], None), None);
        assert_eq!(who(&[("authorization", "Basic secret")], None), None);
        assert_eq!(who(&[("authorization", "Bearer ")], None), None);
        assert_eq!(who(&[("authorization", "Bearer ollama")], Some(1000)), Some(Caller::Uid(1000)));
        assert_eq!(who(&[], Some(1001)), None);
        assert_eq!(who(&[], Some(0)), None);
    }
}
