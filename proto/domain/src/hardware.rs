//! What a TPM can show about a node, and what a baseline can demand of it: the check `hardware-root`.
//!
//! Nothing of it is taken from the evidence's own words: the side that verified a TPM's signatures says what they showed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::appraise::{Answer, Subject};
use crate::baseline::CheckPolicy;
use crate::digest::Sha256Digest;
use crate::limits::{AUTHORITIES_MAX, AUTHORITY_LEN_MAX, PCR_VALUES_MAX, PCRS};
use crate::verdict::{Assurance, Status};

/// The check's name.
pub const CHECK: &str = "hardware-root";
const IDENTITY_KEY: &str = "identity-key";
const BOOT_STATE: &str = "boot-state";

/// What a baseline says about TPMs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmRules {
    /// Certificates of the authorities that issue endorsement certificates, PEM. A TPM that none of them vouches for is
    /// one without known manufacturer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manufacturers: Vec<String>,
    /// Of each PCR that counts (SHA-256 bank), the values that it may have. Naming one has it quoted with each evidence.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pcrs: BTreeMap<u8, Vec<Sha256Digest>>,
}

impl TpmRules {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.manufacturers.is_empty() && self.pcrs.is_empty()
    }

    /// Checks its bounds; answers the field and what was expected.
    pub(crate) fn fault(&self) -> Option<(&'static str, &'static str)> {
        let is_pem = |text: &String| {
            text.len() <= AUTHORITY_LEN_MAX && text.trim_start().starts_with("-----BEGIN CERTIFICATE-----")
        };
        if self.manufacturers.len() > AUTHORITIES_MAX || !self.manufacturers.iter().all(is_pem) {
            return Some(("tpm.manufacturers", "at most 16 certificates in PEM, each of at most 4096 bytes"));
        }
        let fits = |(pcr, values): (&u8, &Vec<Sha256Digest>)| {
            *pcr < PCRS && (1..=PCR_VALUES_MAX).contains(&values.len())
        };
        if !self.pcrs.iter().all(fits) {
            return Some(("tpm.pcrs", "PCRs 0 to 23, each with 1 to 64 values sha256:…"));
        }
        None
    }
}

/// PCR values of the SHA-256 bank that a TPM quoted together with the evidence.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootState {
    /// By number.
    pub pcrs: BTreeMap<u8, Sha256Digest>,
}

/// What the check finds.
pub(crate) fn findings(rules: &TpmRules, policy: &CheckPolicy, subject: &Subject<'_>) -> Vec<Answer> {
    let is_wanted = |name: &str| policy.subjects.iter().any(|wanted| wanted == name);
    let mut answers = Vec::new();
    if policy.subjects.is_empty() || is_wanted(IDENTITY_KEY) {
        let (status, reason) = identity_key(subject.assurance);
        answers.push(answer(IDENTITY_KEY, status, reason, "tpm-certify"));
    }
    if is_wanted(BOOT_STATE) || policy.subjects.is_empty() && !rules.pcrs.is_empty() {
        let (status, reason) = boot_state(rules, subject.boot);
        answers.push(answer(BOOT_STATE, status, reason, "tpm-quote"));
    }
    let other = policy.subjects.iter().filter(|name| ![IDENTITY_KEY, BOOT_STATE].contains(&name.as_str()));
    answers.extend(
        other.map(|name| answer(name, Status::Unknown, "a TPM says nothing about it".to_owned(), "none")),
    );
    answers
}

fn answer(subject: &str, status: Status, reason: String, method: &str) -> Answer {
    Answer { subject: subject.to_owned(), status, reason, method: method.to_owned() }
}

fn identity_key(assurance: Assurance) -> (Status, String) {
    let (status, reason) = match assurance {
        Assurance::SelfReported => (Status::Fail, "the node's key is a file, which can be copied"),
        Assurance::UnknownTpm => (
            Status::Pass,
            "the node's key is in a TPM, but no manufacturer that the baseline lists vouches for that TPM",
        ),
        Assurance::HardwareKey | Assurance::Measured => (Status::Pass, "the node's key is in its TPM"),
    };
    (status, reason.to_owned())
}

fn boot_state(rules: &TpmRules, boot: Option<&BootState>) -> (Status, String) {
    if rules.pcrs.is_empty() {
        return (Status::Unknown, "the baseline lists no PCR values".to_owned());
    }
    let Some(boot) = boot else {
        return (Status::Unknown, "no TPM quote came with the evidence".to_owned());
    };
    let unknown = rules.pcrs.keys().find(|pcr| !boot.pcrs.contains_key(pcr));
    let differs = |(pcr, values): &(&u8, &Vec<Sha256Digest>)| {
        boot.pcrs.get(pcr).is_some_and(|value| !values.contains(value))
    };
    match (rules.pcrs.iter().find(differs), unknown) {
        (Some((pcr, _)), _) => {
            (Status::Fail, format!("PCR {pcr} has a value that the baseline does not list"))
        }
        (None, Some(pcr)) => (Status::Unknown, format!("PCR {pcr} was not quoted")),
        (None, None) => {
            let names: Vec<String> = boot.pcrs.keys().map(ToString::to_string).collect();
            (Status::Pass, format!("the TPM quoted listed values of PCR {}", names.join(", ")))
        }
    }
}
