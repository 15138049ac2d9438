//! Who answers on a port: `GET` over loopback, compared with what tools are documented to answer.
//!
//! Whoever answers can be hostile: each request has a deadline, a size and no redirects, a port that misbehaves once is
//! not asked again, and nothing of an answer is kept but a match and a version of harmless characters.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::rules::{Answer, Tool};

/// Until one request must be answered.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(400);

/// Until all ports together must have answered; the rest is then known by processes alone.
const ALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest body that is read, in bytes. Lists of models come to some KiB.
const BODY_LEN_MAX: u64 = 64 * 1024;

/// Longest head of an answer, in bytes.
const HEAD_LEN_MAX: usize = 8 * 1024;

/// Longest version that is kept, in characters.
const VERSION_LEN_MAX: usize = 40;

/// One answer, as far as it is looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

/// Asks ports, each path once.
pub(super) struct Asker {
    agent: ureq::Agent,
    until: Instant,
}

impl Asker {
    pub(super) fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ANSWER_TIMEOUT))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .http_status_as_error(false)
            .max_response_header_size(HEAD_LEN_MAX)
            .max_idle_connections(0)
            // Loopback is asked directly, whatever the environment says about proxies.
            .proxy(None)
            .user_agent("croft-census")
            .build();
        Self { agent: config.into(), until: Instant::now() + ALL_TIMEOUT }
    }

    /// What one port answers.
    pub(super) fn port(&self, address: SocketAddr) -> Port<'_> {
        Port { asker: self, address, heard: BTreeMap::new(), is_silent: false }
    }

    /// None: no answer that could be read.
    fn get(&self, address: SocketAddr, path: &str) -> Option<Heard> {
        if Instant::now() >= self.until {
            return None;
        }
        let mut response = self.agent.get(format!("http://{address}{path}")).call().ok()?;
        let headers = response
            .headers()
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
            .collect();
        let status = response.status().as_u16();
        let body = response.body_mut().with_config().limit(BODY_LEN_MAX).read_to_vec().ok()?;
        Some(Heard { status, headers, body })
    }
}

/// One port under question.
pub(super) struct Port<'a> {
    asker: &'a Asker,
    address: SocketAddr,
    heard: BTreeMap<String, Heard>,
    /// It did not answer in time, or not in HTTP.
    is_silent: bool,
}

impl Port<'_> {
    /// Whether `tool` answers here.
    pub(super) fn is_of(&mut self, tool: &Tool) -> bool {
        tool.answers.iter().any(|answer| self.get(&answer.path).is_some_and(|heard| fits(answer, heard)))
    }

    /// Whether anything answered in HTTP.
    pub(super) fn has_answered(&self) -> bool {
        !self.heard.is_empty()
    }

    /// The version that `tool` says.
    pub(super) fn version_of(&mut self, tool: &Tool) -> Option<String> {
        let said = tool.version.as_ref()?;
        let json: Value = serde_json::from_slice(&self.get(&said.path)?.body).ok()?;
        let version = json.pointer(&said.pointer)?.as_str()?;
        let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-+_~()/ ".contains(c);
        let is_sound = (1..=VERSION_LEN_MAX).contains(&version.len()) && version.chars().all(is_plain);
        is_sound.then(|| version.to_owned())
    }

    /// Whether `tool` says that it has a model which runs elsewhere.
    pub(super) fn has_remote_model(&mut self, tool: &Tool) -> bool {
        let Some(remote) = tool.cloud.as_ref().and_then(|cloud| cloud.remote.as_ref()) else { return false };
        let Some(heard) = self.get(&remote.path).filter(|heard| heard.status == 200) else { return false };
        let Ok(json) = serde_json::from_slice::<Value>(&heard.body) else { return false };
        let models = json.pointer(&remote.list).and_then(Value::as_array);
        let is_remote =
            |model: &Value| model[&remote.host].as_str().is_some_and(|host| !host.trim().is_empty());
        models.is_some_and(|models| models.iter().any(is_remote))
    }

    fn get(&mut self, path: &str) -> Option<&Heard> {
        if !self.heard.contains_key(path) && !self.is_silent {
            match self.asker.get(self.address, path) {
                Some(heard) => {
                    self.heard.insert(path.to_owned(), heard);
                }
                None => self.is_silent = true,
            }
        }
        self.heard.get(path)
    }
}

fn fits(answer: &Answer, heard: &Heard) -> bool {
    if heard.status != 200 {
        return false;
    }
    let has_header = |(name, begins): (&String, &String)| {
        heard.headers.get(name).is_some_and(|value| value.starts_with(begins.as_str()))
    };
    if !answer.header.iter().all(has_header) {
        return false;
    }
    if let Some(text) = &answer.text
        && heard.body.trim_ascii() != text.as_bytes()
    {
        return false;
    }
    if answer.has.is_empty() && answer.equals.is_empty() {
        return true;
    }
    let Ok(json) = serde_json::from_slice::<Value>(&heard.body) else { return false };
    let has = |pointer: &String| json.pointer(pointer).is_some();
    let equals = |(pointer, text): (&String, &String)| {
        json.pointer(pointer).and_then(Value::as_str).is_some_and(|found| found == text)
    };
    answer.has.iter().all(has) && answer.equals.iter().all(equals)
}

/// Where a listener is asked: over loopback, or not at all.
pub(super) fn loopback_of(bound: IpAddr, port: u16) -> Option<SocketAddr> {
    let address = match bound {
        IpAddr::V4(v4) if v4.is_loopback() => bound,
        IpAddr::V6(v6) if v6.is_loopback() => bound,
        IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        // One that listens on every address does so for version 4 as well, unless told otherwise.
        IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}
