//! The keys that count because the fleet document lists them, and the certificates behind the connections, for `trust
//! status`: who signs leases, recalls and reviews, and until when.

use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::{Fleet, KeyEntry};
use croft_domain::time::Timestamp;
use croft_link::pin::{Lasting, lasting};
use croft_trust::digest::sha256;

use super::trust::Role;
use crate::client::point;
use crate::fleet_dir::{FleetDir, KeyName, read};
use crate::limits::{CERTIFICATE_WARNING_DAYS, DOCUMENT_LEN_MAX, ROOT_WARNING_DAYS};

const LEASE: &str = "lease key";
const RECALL: &str = "recall key";
const REVIEWER: &str = "reviewer key";
const AUTHORITY: &str = "authority";
const ADMIN: &str = "admin";

/// One line a key or certificate, in the order of what their loss would stop.
pub(super) fn roles(fleet: &Fleet, dir: &FleetDir, now: Timestamp) -> Vec<Role> {
    let mut found = Vec::new();
    for (role, entries, name) in [
        (LEASE, &fleet.lease_keys, KeyName::Lease),
        (RECALL, &fleet.recall_keys, KeyName::Recall),
        (REVIEWER, &fleet.reviewer_keys, KeyName::Reviewer),
    ] {
        found.extend(entries.iter().map(|entry| of_entry(role, entry, name, dir, now)));
    }
    // What the controller gave this admin, leaf first; nothing on a freshness host.
    let chain = read(&dir.chain(), DOCUMENT_LEN_MAX).map(|pem| lasting(&pem)).unwrap_or_default();
    for pin in &fleet.ca_pins {
        let end = chain.iter().find(|known| known.pin == *pin).map(|known| known.not_after);
        found.push(line(AUTHORITY, format!("pin {}", short(pin)), end, now));
    }
    if let Some(Lasting { pin, not_after }) = chain.first().filter(|leaf| !fleet.ca_pins.contains(&leaf.pin))
    {
        let mut admin = line(ADMIN, format!("pin {}", short(pin)), Some(*not_after), now);
        admin.key = dir.key(KeyName::Admin).display().to_string();
        found.push(admin);
    }
    found
}

/// From how many days before its end on, what then happens, and what to do.
pub(super) fn warning(role: &str) -> (u64, &'static str, &'static str) {
    match role {
        LEASE => (
            ROOT_WARNING_DAYS,
            "leases that it signs count no longer when it ends",
            "croftctl lease key prolongs one that lies here, trust rotate-root all of them",
        ),
        RECALL => (
            ROOT_WARNING_DAYS,
            "it recalls nothing more when it ends, and what it recalled stays recalled",
            "croftctl trust rotate-root prolongs it",
        ),
        REVIEWER => {
            (ROOT_WARNING_DAYS, "it signs no reviews when it ends", "croftctl report key prolongs it")
        }
        AUTHORITY => (
            ROOT_WARNING_DAYS,
            "nobody reaches the controller when it ends",
            "a new authority is pinned in the fleet document first",
        ),
        _ => (
            CERTIFICATE_WARNING_DAYS,
            "the controller no longer knows this admin when it ends",
            "take a new bootstrap file from the controller's host",
        ),
    }
}

fn line(role: &str, signed_by: String, end: Option<Timestamp>, now: Timestamp) -> Role {
    Role {
        role: role.to_owned(),
        version: None,
        expires_at: end.map(|end| end.0),
        days_left: end.map(|end| end.since(now) / 86_400),
        signed_by,
        key: String::new(),
    }
}

fn of_entry(role: &str, entry: &KeyEntry, name: KeyName, dir: &FleetDir, now: Timestamp) -> Role {
    // A point that is no hexadecimal is refused when the document is read.
    let listed = hex::decode(&entry.point).unwrap_or_default();
    let mut found = line(role, format!("any one: {}", short(&sha256(&listed))), Some(entry.not_after), now);
    if point(dir, name).ok().flatten().is_some_and(|own| own.as_slice() == listed) {
        found.key = dir.key(name).display().to_string();
    }
    found
}

fn short(digest: &Sha256Digest) -> String {
    digest.hex().chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Format;
    use crate::output::list;

    #[test]
    fn keys_of_the_fleet_document_and_certificates_are_listed_with_their_ends() {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().to_owned())).expect("a fleet folder");
        let mut params = rcgen::CertificateParams::new(vec!["controller".to_owned()]).expect("parameters");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let authority = params.self_signed(&key).expect("a certificate");
        let pin = lasting(authority.pem().as_bytes())[0].pin;
        std::fs::create_dir(temp.path().join("keys")).expect("made");
        std::fs::write(dir.chain(), authority.pem()).expect("written");
        let now = Timestamp(1_795_219_200);
        let entry = |byte: &str, days: u64| KeyEntry {
            point: format!("04{}", byte.repeat(64)),
            not_before: now,
            not_after: now.plus(days * 86_400),
        };
        let text = format!(
            r#"{{"schema":1,"id":"{}","name":"test","epoch":1,"ca_pins":["{pin}","sha256:{}"],"lease_keys":[],
            "recall_keys":[],"reviewer_keys":[],"groups":{{}},"licenses":[]}}"#,
            "00".repeat(16),
            "ab".repeat(32)
        );
        let mut fleet: Fleet = serde_json::from_str(&text).expect("a fleet");
        fleet.lease_keys = vec![entry("11", 20), entry("22", 730)];
        fleet.recall_keys = vec![entry("33", 0)];
        let found = roles(&fleet, &dir, now);
        let shown = list(&found, Format::Table).expect("a table").replace(&short(&pin), "PINNED");
        insta::assert_snapshot!(shown, @"
        ROLE        VERSION  EXPIRES               DAYS LEFT  SIGNED BY
        lease key   -        2026-12-11T00:00:00Z  20         any one: f0b9315a
        lease key   -        2028-11-20T00:00:00Z  730        any one: 6fb33342
        recall key  -        2026-11-21T00:00:00Z  0          any one: 32e0f136
        authority   -        2030-01-01T00:00:00Z  1137       pin PINNED
        authority   -        -                     -          pin abababab
        ");
        let warnings: Vec<String> = found.iter().filter_map(Role::warning).collect();
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(warnings[0].starts_with("warning: lease key ends soon; leases"), "{warnings:?}");
        assert!(warnings[1].starts_with("warning: recall key ends within a day or is over"), "{warnings:?}");
    }
}
