//! Baselines as people write them: strict YAML. A misspelled key is an error with its line, never a check that
//! silently does not run.

use std::fmt::Write;
use std::path::Path;

use croft_domain::baseline::{Baseline, CheckPolicy, WaiverPolicy};
use croft_domain::hardware::TpmRules;
use croft_domain::remedy::{CHECKS, is_known};
use croft_domain::verdict::Assurance;
use serde::Deserialize;

use crate::error::CtlError;
use crate::fleet_dir::read_text;
use crate::limits::DOCUMENT_LEN_MAX;

/// The first thing that is looked at, so that a file of another kind is refused for what it is.
#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// Reads and checks a baseline.
///
/// # Errors
/// Names file, line and column, or file and field.
pub fn load(path: &Path) -> Result<Baseline, CtlError> {
    parse(&path.display().to_string(), &read_text(path, DOCUMENT_LEN_MAX)?)
}

fn parse(file: &str, text: &str) -> Result<Baseline, CtlError> {
    let kind: Kind = serde_saphyr::from_str(text).map_err(|e| refused(file, &e))?;
    if kind.kind != "Baseline" {
        return Err(CtlError::Document {
            place: file.to_owned(),
            message: format!("kind: expected Baseline, not {}", crate::output::clean(&kind.kind)),
        });
    }
    let baseline: Baseline = serde_saphyr::from_str(text).map_err(|e| refused(file, &e))?;
    baseline.validate().map_err(|e| CtlError::Document {
        place: line_of(text, &e.field).map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")),
        message: format!("{}: expected {}", e.field, e.expected),
    })?;
    // A misspelled check is one that no node tells about: it never passes, and nobody sees why.
    if let Some(name) = baseline.checks.keys().find(|name| !is_known(name)) {
        let place = line_of(text, &format!("checks.{name}"));
        return Err(CtlError::Document {
            place: place.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")),
            message: format!("checks.{name}: there is no such check; expected one of {}", known_checks()),
        });
    }
    // Checked before it is signed: a controller passes over what it cannot read, and then no TPM is known.
    for pem in &baseline.tpm.manufacturers {
        croft_tpm::manufacturer::authority(pem).map_err(|e| CtlError::Document {
            place: line_of(text, "tpm.manufacturers")
                .map_or_else(|| file.to_owned(), |line| format!("{file}:{line}")),
            message: format!("tpm.manufacturers: {e}"),
        })?;
    }
    Ok(baseline)
}

fn refused(file: &str, error: &serde_saphyr::Error) -> CtlError {
    let place = error
        .location()
        .map_or_else(|| file.to_owned(), |at| format!("{file}:{}:{}", at.line(), at.column()));
    let message = error.without_snippet().to_string();
    // The parser repeats the place at the end of its first line; once is enough.
    let message = message.lines().next().unwrap_or_default();
    let message = message.split(" at line ").next().unwrap_or(message);
    // The parser's advice is for programmers.
    let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or(message);
    let message = if message.starts_with("budget breached") {
        "it is larger than a baseline can be; what an alias stands for counts each time"
    } else {
        message
    };
    CtlError::Document { place, message: message.to_owned() }
}

/// Names of the checks, for a message.
pub fn known_checks() -> String {
    CHECKS.iter().map(|check| check.name).collect::<Vec<_>>().join(", ")
}

// The line of a field that parsed but broke a bound: the last part of its path below the one before.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let mut from = 0;
    for part in field.split('.') {
        let key = format!("{part}:");
        from += text.lines().skip(from).position(|line| line.trim_start().starts_with(&key))?;
    }
    Some(from + 1)
}

/// What changes between two versions, line by line.
pub fn difference(old: Option<&Baseline>, new: &Baseline) -> String {
    let mut text = String::new();
    let mut line = |mark: char, what: String| {
        let _ = writeln!(text, "  {mark} {what}");
    };
    let Some(old) = old else {
        line('+', format!("tier {}, leases of {} s", new.tier, new.lease_ttl_s));
        for (name, policy) in &new.checks {
            line('+', format!("{name}: {}", policy_text(policy)));
        }
        return text;
    };
    if old.tier != new.tier {
        line('~', format!("tier: {} -> {}", old.tier, new.tier));
    }
    if old.lease_ttl_s != new.lease_ttl_s {
        line('~', format!("lease_ttl_s: {} -> {}", old.lease_ttl_s, new.lease_ttl_s));
    }
    let policy =
        |baseline: &Baseline| baseline.policy.as_ref().map_or("none".to_owned(), ToString::to_string);
    if old.policy != new.policy {
        line('~', format!("policy: {} -> {}", policy(old), policy(new)));
    }
    if old.patches != new.patches {
        line('~', format!("patches: {} -> {}", patches_text(old), patches_text(new)));
    }
    if old.remote_links != new.remote_links {
        line('~', format!("remote_links: {:?} -> {:?}", old.remote_links, new.remote_links).to_lowercase());
    }
    if old.data_classes != new.data_classes {
        line('~', format!("data_classes: {} -> {} named", old.data_classes.len(), new.data_classes.len()));
    }
    if old.collect != new.collect {
        line('~', format!("collect: {} -> {}", items(old), items(new)));
    }
    for (name, policy) in &old.checks {
        if !new.checks.contains_key(name) {
            line('-', format!("{name}: {}", policy_text(policy)));
        }
    }
    for (name, policy) in &new.checks {
        match old.checks.get(name) {
            None => line('+', format!("{name}: {}", policy_text(policy))),
            Some(before) if before != policy => {
                line('~', format!("{name}: {} -> {}", policy_text(before), policy_text(policy)));
            }
            Some(_) => {}
        }
    }
    if old.tpm != new.tpm {
        line('~', format!("tpm: {} -> {}", tpm_text(&old.tpm), tpm_text(&new.tpm)));
    }
    text
}

fn tpm_text(rules: &TpmRules) -> String {
    let pcrs: Vec<String> =
        rules.pcrs.iter().map(|(pcr, values)| format!("PCR {pcr}: {} values", values.len())).collect();
    let makers = rules.manufacturers.len();
    let pcrs = if pcrs.is_empty() { "no PCR".to_owned() } else { pcrs.join(", ") };
    format!("{makers} authorities, {pcrs}")
}

/// What a baseline collects besides the minimum, as its machines will be asked.
fn items(baseline: &Baseline) -> String {
    let items: Vec<&str> = baseline.collect.iter().map(|item| item.as_str()).collect();
    if items.is_empty() { "nothing more".to_owned() } else { items.join(", ") }
}

fn policy_text(policy: &CheckPolicy) -> String {
    let mut text = format!("{:?}", policy.mode).to_lowercase();
    if policy.grace_s > 0 {
        let _ = write!(text, " after {} s", policy.grace_s);
    }
    if !policy.paths.is_empty() {
        let _ = write!(text, " on {}", policy.paths.join(", "));
    }
    if !policy.subjects.is_empty() {
        let _ = write!(text, " on {}", policy.subjects.join(", "));
    }
    let _ = write!(text, " (confidence {})", format!("{:?}", policy.confidence).to_lowercase());
    if policy.waivers == WaiverPolicy::Never {
        text.push_str(", no waivers");
    }
    if policy.assurance > Assurance::SelfReported {
        let _ = write!(text, ", {}", assurance_text(policy.assurance));
    }
    if !policy.controls.is_empty() {
        let _ = write!(text, ", for {}", policy.controls.join(", "));
    }
    text
}

const fn assurance_text(assurance: Assurance) -> &'static str {
    match assurance {
        Assurance::SelfReported => "self-reported",
        Assurance::UnknownTpm => "evidence by a key in any TPM",
        Assurance::HardwareKey => "evidence by a hardware key",
        Assurance::Measured => "measured evidence",
    }
}

fn patches_text(baseline: &Baseline) -> String {
    let systems: Vec<String> = baseline
        .patches
        .iter()
        .map(|minimum| {
            let kernel = minimum.kernel.iter().map(|version| format!(" kernel {version}"));
            let packages = minimum.packages.iter().map(|(name, version)| format!(" {name} {version}"));
            minimum.os.clone() + &kernel.chain(packages).collect::<String>()
        })
        .collect();
    if systems.is_empty() { "none".to_owned() } else { systems.join("; ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
kind: Baseline
name: standard
version: 2
tier: 2
lease_ttl_s: 3600
checks:
  disk-encryption:
    mode: warn
    grace_s: 600
    paths: [/, home, swap]
  self-test:
    mode: block
";

    fn message(text: &str) -> String {
        parse("b.yaml", text).expect_err("a refusal").to_string()
    }

    #[test]
    fn a_good_file_is_read() {
        let baseline = parse("b.yaml", GOOD).expect("a baseline");
        assert_eq!(baseline.reference().to_string(), "standard@2");
        assert_eq!(baseline.checks.len(), 2);
    }

    #[test]
    fn p9_a_bomb_of_aliases_or_depth_is_refused_within_its_budget_and_in_plain_words() {
        let mut bomb = format!("{GOOD}a: &a [{}]\n", ["x"; 9].join(","));
        for (name, of) in ('b'..='k').zip('a'..) {
            bomb += &format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(","));
        }
        let refused = message(&bomb);
        assert!(refused.contains("larger than a baseline can be"), "{refused}");
        assert!(message(&format!("{GOOD}deep: {}", "[".repeat(200_000))).contains("limit"));
        let twice = message(&(GOOD.to_owned() + "  self-test:\n    mode: report\n"));
        assert!(twice.contains("duplicate mapping key: self-test") && !twice.contains("Options"), "{twice}");
    }

    #[test]
    fn p5_a_misspelled_check_is_an_error_and_not_one_that_never_passes() {
        let refused = message(&GOOD.replace("self-test:", "self-tst:"));
        assert!(
            refused.starts_with("b.yaml:11") && refused.contains("expected one of api-binding"),
            "{refused}"
        );
    }

    #[test]
    fn refusals_name_line_and_key() {
        let misspelled = message(&GOOD.replace("grace_s", "grace"));
        assert!(misspelled.starts_with("b.yaml:9:") && misspelled.contains("grace"), "{misspelled}");
        let unknown = message(&(GOOD.to_owned() + "surprise: 1\n"));
        assert!(unknown.starts_with("b.yaml:13:") && unknown.contains("surprise"), "{unknown}");
        let mode = message(&GOOD.replace("mode: warn", "mode: shout"));
        assert!(mode.starts_with("b.yaml:8:") && mode.contains("shout"), "{mode}");
        let twice = message(&GOOD.replace("tier: 2", "tier: 2\ntier: 1"));
        assert!(twice.starts_with("b.yaml:5:") && twice.contains("tier"), "{twice}");
    }

    #[test]
    fn bounds_name_line_and_field() {
        insta::assert_snapshot!(message(&GOOD.replace("tier: 2", "tier: 4")),
            @"b.yaml:4: tier: expected 1, 2 or 3");
        insta::assert_snapshot!(message(&GOOD.replace("mode: warn", "mode: block")),
            @"b.yaml:9: checks.disk-encryption.grace_s: expected only with mode: warn");
        let twice = GOOD.to_owned() + "patches:\n  - os: debian 12\n";
        insta::assert_snapshot!(message(&twice),
            @"b.yaml:13: patches: expected a list exactly if there is a check patch-level");
        insta::assert_snapshot!(message(&GOOD.replace("grace_s: 600", "grace_s: 0")),
            @"b.yaml:8: checks.disk-encryption.mode: expected a grace_s with mode: warn; without one it blocks at once, which is mode: block");
        insta::assert_snapshot!(message("kind: Pod\nspec: {}\n"), @"b.yaml: kind: expected Baseline, not Pod");
    }

    #[test]
    fn differences_are_told() {
        let new = parse("b.yaml", GOOD).expect("a baseline");
        insta::assert_snapshot!(difference(None, &new), @r"
        + tier 2, leases of 3600 s
        + disk-encryption: warn after 600 s on /, home, swap (confidence uuid)
        + self-test: block (confidence uuid)
        ");
        let mut old = new.clone();
        old.tier = 1;
        let moved = old.checks.remove(&"self-test".parse().expect("a name")).expect("a policy");
        old.checks.insert("firewall".parse().expect("a name"), moved);
        insta::assert_snapshot!(difference(Some(&old), &new), @r"
        ~ tier: 1 -> 2
        - firewall: block (confidence uuid)
        + self-test: block (confidence uuid)
        ");
        assert_eq!(difference(Some(&new), &new), "");
        let more = GOOD.to_owned()
            + "  patch-level:\n    mode: notify\n    assurance: hardware-key\n    controls: [CIS 7.3]\n\
               patches:\n  - os: debian 12\n    kernel: 6.1.0-28\n    packages: {openssl: 3.0.15-1}\n\
               policy: {name: house, version: 2}\n";
        insta::assert_snapshot!(difference(Some(&new), &parse("b.yaml", &more).expect("a baseline")), @r"
        ~ policy: none -> house@2
        ~ patches: none -> debian 12 kernel 6.1.0-28 openssl 3.0.15-1
        + patch-level: notify (confidence uuid), evidence by a hardware key, for CIS 7.3
        ");
    }
}

#[cfg(test)]
#[path = "baseline_templates_tests.rs"]
mod templates_tests;
