//! Names out of configuration files. Each function reads only as much of a format as names need, and takes nothing
//! that could be a secret.

use std::collections::BTreeMap;

/// `[profile NAME]` and `[NAME]`.
pub(super) fn aws(text: &str) -> Vec<String> {
    let sections = text.lines().filter_map(|line| line.trim().strip_prefix('[')?.split(']').next());
    sections.map(|name| name.trim().trim_start_matches("profile ").trim().to_owned()).collect()
}

/// Names of contexts, clusters and users, and servers' hosts.
pub(super) fn kube(text: &str) -> Vec<String> {
    let pairs = text.lines().filter_map(|line| {
        let (key, value) = line.trim().trim_start_matches("- ").split_once(':')?;
        let value = value.trim().trim_matches(['"', '\'']);
        match key.trim().trim_matches('"') {
            "name" | "cluster" | "user" | "current-context" => Some(value.trim_end_matches(',').to_owned()),
            "server" => value.split('/').nth(2).map(str::to_owned),
            _ => None,
        }
    });
    pairs.filter(|value| !value.is_empty()).collect()
}

/// `HOST:PORT:DATABASE:USER:PASSWORD`: the host and the database.
pub(super) fn pgpass(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (host, database) = (fields.next()?, fields.nth(1)?);
            // Fewer than five fields are no entry, and what looks like a database could be a password.
            fields.nth(1)?;
            Some([host.to_owned(), database.to_owned()])
        })
        .flatten()
        .collect()
}

/// `Host A B` and `HostName C`.
pub(super) fn ssh(text: &str) -> Vec<String> {
    let entries = text.lines().filter_map(|line| {
        let line = line.trim();
        let (key, value) = line.split_once(|c: char| c.is_whitespace() || c == '=')?;
        let is_host = key.eq_ignore_ascii_case("host") || key.eq_ignore_ascii_case("hostname");
        is_host.then(|| value.trim_start_matches([' ', '=']).split_whitespace().map(str::to_owned))
    });
    // "!prod" excludes a host.
    entries.flatten().filter(|name| !name.starts_with('!')).collect()
}

/// `machine NAME`, anywhere among the words.
pub(super) fn netrc(text: &str) -> Vec<String> {
    let mut words = text.split_whitespace();
    let mut names = Vec::new();
    while let Some(word) = words.next() {
        match word {
            "machine" => names.extend(words.next().map(str::to_owned)),
            // Their value could be the word "machine".
            "login" | "password" | "account" => {
                words.next();
            }
            _ => {}
        }
    }
    names
}

#[derive(serde::Deserialize)]
struct Docker {
    #[serde(default)]
    auths: BTreeMap<String, serde::de::IgnoredAny>,
    #[serde(default, rename = "credHelpers")]
    credential_helpers: BTreeMap<String, serde::de::IgnoredAny>,
}

/// Keys of `auths` and `credHelpers`.
pub(super) fn docker(text: &str) -> Vec<String> {
    let Ok(docker) = serde_json::from_str::<Docker>(text) else { return Vec::new() };
    docker.auths.into_keys().chain(docker.credential_helpers.into_keys()).collect()
}

/// `project = NAME`.
pub(super) fn gcloud(text: &str) -> Vec<String> {
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs.filter(|(key, _)| key.trim() == "project").map(|(_, value)| value.trim().to_owned()).collect()
}

/// Keys of `KEY=value`, with or without `export`. Never values.
pub(super) fn environment(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, _)| key.trim().trim_start_matches("export ").trim())
        .filter(|key| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
        .map(str::to_owned)
        .collect()
}
