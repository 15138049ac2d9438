//! `croft why`: a tree of checks, worst first.

use croft_domain::fact::{Attempt, Fact, Observation};
use croft_domain::remedy::guide;
use croft_domain::time::Timestamp;
use croft_domain::verdict::{Assurance, CheckResult, Effect, Status, Verdict};
use croft_proto::grpc::{ModelProblem, WhyResponse};
use serde::Serialize;
use serde_json::Value;

use super::hint_of;
use crate::moment::describe;
use crate::output::one_line;

/// The last verdict, and what was seen on this machine.
#[derive(Debug, Serialize)]
pub struct WhyView {
    pub serving_code: String,
    pub serving_reason: String,
    /// None before the first.
    pub verdict: Option<Verdict>,
    /// As the daemon keeps them; they stay on this machine.
    pub local_facts: Value,
    /// Models that belong here and are not served.
    pub problems: Vec<Problem>,
}

/// Why one model is not served.
#[derive(Debug, Serialize)]
pub struct Problem {
    pub bundle: String,
    pub code: String,
    pub detail: String,
}

impl TryFrom<WhyResponse> for WhyView {
    type Error = serde_json::Error;

    fn try_from(wire: WhyResponse) -> Result<Self, serde_json::Error> {
        let WhyResponse { verdict_json, serving_code, serving_reason, local_facts_json, problems } = wire;
        let verdict =
            if verdict_json.is_empty() { None } else { Some(serde_json::from_slice(&verdict_json)?) };
        let local_facts = if local_facts_json.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&local_facts_json)?
        };
        let problem = |ModelProblem { bundle, code, detail }| Problem { bundle, code, detail };
        let problems = problems.into_iter().map(problem).collect();
        Ok(Self { serving_code, serving_reason, verdict, local_facts, problems })
    }
}

impl Problem {
    fn render(&self, text: &mut String) {
        let Self { bundle, code, detail } = self;
        text.push_str(&format!(
            "{} is not served, {}: {}\n",
            one_line(bundle),
            one_line(code),
            one_line(detail)
        ));
        if let Some(hint) = hint_of(code) {
            text.push_str(&format!("hint: {hint}\n"));
        }
    }
}

impl WhyView {
    pub fn render(&self, now: Timestamp) -> String {
        let mut text = self.headline();
        self.problems.iter().for_each(|problem| problem.render(&mut text));
        let Some(verdict) = &self.verdict else {
            text.push_str("There is no verdict yet.\n");
            return text;
        };
        let assurance = match verdict.assurance {
            Assurance::SelfReported => "self-reported",
            Assurance::HardwareKey => "hardware key",
            Assurance::Measured => "measured",
        };
        let when = describe(verdict.at.0, now);
        text.push_str(&format!("judged {when} by {}, evidence {assurance}\n", verdict.baseline));
        let mut checks: Vec<&CheckResult> = verdict.checks.iter().collect();
        // Stable: within one effect the baseline's order stays.
        checks.sort_by_key(|check| (std::cmp::Reverse(check.effect), check.status == Status::Pass));
        for (index, check) in checks.iter().enumerate() {
            let last = index + 1 == checks.len();
            self.render_check(check, last, now, &mut text);
        }
        text
    }

    fn headline(&self) -> String {
        if self.serving_code.is_empty() {
            return "serving\n".to_owned();
        }
        let mut text =
            format!("not serving, {}: {}\n", one_line(&self.serving_code), one_line(&self.serving_reason));
        // `run croft why` helps nobody who just did.
        if let Some(hint) = hint_of(&self.serving_code).filter(|_| self.serving_code != "E-NOT-COMPLIANT") {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }

    fn render_check(&self, check: &CheckResult, last: bool, now: Timestamp, text: &mut String) {
        let (branch, stem) = if last { ("└─", "  ") } else { ("├─", "│ ") };
        let effect = effect_words(check, now);
        let subject = one_line(&check.subject);
        text.push_str(&format!(
            "{branch} {:<14} {} {subject}{effect}\n",
            status_word(check.status),
            check.check
        ));
        let mut row =
            |name: &str, value: &str| text.push_str(&format!("{stem}    {name:<7} {}\n", one_line(value)));
        row("reason", &check.reason);
        row("since", &describe(check.since.0, now));
        row("method", &check.method);
        if !check.controls.is_empty() {
            row("serves", &check.controls.join(", "));
        }
        if let Some(remedy) = &check.remedy {
            let back = if remedy.reversible { "yes" } else { "no" };
            row("remedy", &remedy.action);
            row("", &format!("effort: {}; risk: {}; reversible: {back}", remedy.effort, remedy.risk));
            // From this program's own table: what comes over the network carries no command.
            let guide = guide(check.check.as_str(), &check.subject);
            guide.into_iter().flat_map(|guide| guide.commands).for_each(|line| row("fix", line));
        }
        let Some(fact) = self.fact_of(check) else { return };
        if let Observation::SelfTest { attempts, layers } = &fact.observation {
            let layers: Vec<String> = layers.iter().map(ToString::to_string).collect();
            row("layers", &layers.join(", "));
            for line in attempts.chunks(ATTEMPTS_PER_LINE) {
                let words: Vec<String> = line.iter().map(attempt_words).collect();
                row("tried", &words.join(", "));
            }
        }
        if check.status != Status::Pass {
            fact.trace.iter().for_each(|line| row("trace", line));
        }
    }

    /// What was seen on this machine for a check.
    fn fact_of(&self, check: &CheckResult) -> Option<Fact> {
        let facts: Vec<Fact> = serde_json::from_value(self.local_facts.clone()).unwrap_or_default();
        facts.into_iter().find(|fact| fact.check == check.check && fact.subject == check.subject)
    }
}

/// Attempts of a self-test in one line.
const ATTEMPTS_PER_LINE: usize = 4;

fn attempt_words(attempt: &Attempt) -> String {
    let Attempt { name, errno } = attempt;
    format!("{name} {}", errno.as_deref().unwrap_or("NOT REFUSED"))
}

const fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::Unknown => "unknown",
        Status::NotApplicable => "not-applicable",
        Status::Waived => "waived",
    }
}

fn effect_words(check: &CheckResult, now: Timestamp) -> String {
    match (check.effect, check.blocks_at) {
        (_, Some(at)) if check.status == Status::Waived => {
            format!(": excepted by a waiver, blocks {}", describe(at.0, now))
        }
        (Effect::Block, _) => ": blocks serving".to_owned(),
        (Effect::Warn, Some(at)) => format!(": blocks {}", describe(at.0, now)),
        (Effect::Warn, None) => ": warns".to_owned(),
        (Effect::Notify | Effect::Report, _) => ": is reported".to_owned(),
        (Effect::None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::verdict::Remedy;

    const NOW: Timestamp = Timestamp(1_795_208_400);

    fn check(name: &str, subject: &str, status: Status, effect: Effect) -> CheckResult {
        CheckResult {
            check: name.parse().expect("a check name"),
            subject: subject.to_owned(),
            status,
            effect,
            reason: "because".to_owned(),
            remedy: None,
            since: NOW.minus(7_200),
            failing_since: None,
            blocks_at: None,
            method: "statx+sysfs".to_owned(),
            controls: Vec::new(),
        }
    }

    fn wire(checks: Vec<CheckResult>) -> WhyResponse {
        let verdict = Verdict {
            baseline: "laptop@3".parse().expect("a reference"),
            at: NOW.minus(60),
            assurance: Assurance::SelfReported,
            checks,
        };
        WhyResponse {
            verdict_json: serde_json::to_vec(&verdict).expect("json"),
            serving_code: "E-NOT-COMPLIANT".to_owned(),
            serving_reason: "disk-encryption blocks".to_owned(),
            local_facts_json: br#"[{"check":"disk-encryption","subject":"home","observation":{"kind":"disk","state":"plain"},
                "method":"statx+sysfs","confidence":"table","trace":["/home is on sda2","sda2 has no dm parent"]}]"#
                .to_vec(),
            problems: Vec::new(),
        }
    }

    #[test]
    fn p5_the_tree_says_what_stands_and_what_to_do() {
        let remedy = Remedy {
            action: "encrypt the disk with LUKS".to_owned(),
            effort: "2 hours".to_owned(),
            risk: "data loss without a backup".to_owned(),
            reversible: false,
        };
        let failed = CheckResult {
            remedy: Some(remedy),
            controls: vec!["CIS 3.6".to_owned()],
            ..check("disk-encryption", "home", Status::Fail, Effect::Block)
        };
        let warned = CheckResult {
            blocks_at: Some(NOW.plus(86_400)),
            ..check("production-credentials", "all", Status::Unknown, Effect::Warn)
        };
        let checks = vec![check("api-binding", "gateway", Status::Pass, Effect::None), warned, failed];
        let view = WhyView::try_from(wire(checks)).expect("a view");
        insta::assert_snapshot!(view.render(NOW), @r#"
    not serving, E-NOT-COMPLIANT: disk-encryption blocks
    judged 1 minute ago (2026-11-20T20:59:00Z) by laptop@3, evidence self-reported
    ├─ fail           disk-encryption home: blocks serving
    │     reason  because
    │     since   2 hours ago (2026-11-20T19:00:00Z)
    │     method  statx+sysfs
    │     serves  CIS 3.6
    │     remedy  encrypt the disk with LUKS
    │             effort: 2 hours; risk: data loss without a backup; reversible: no
    │     fix     # which device is meant: croft posture, or:
    │     fix     lsblk -o NAME,TYPE,FSTYPE,MOUNTPOINTS
    │     fix     # safest: back up, reinstall with "encrypt the disk", restore.
    │     fix     # or a new encrypted volume for one folder; DEVICE is erased:
    │     fix     sudo cryptsetup luksFormat --type luks2 DEVICE
    │     fix     sudo cryptsetup open DEVICE croft-data && sudo mkfs.ext4 /dev/mapper/croft-data
    │     fix     sudo mount /dev/mapper/croft-data /mnt && sudo rsync --archive --acls --xattrs FOLDER/ /mnt/
    │     fix     # then mount it over FOLDER by /etc/crypttab and /etc/fstab, and delete the plain copy.
    │     fix     # macOS: sudo fdesetup enable   Windows, as administrator: manage-bde -on C: -RecoveryPassword
    │     trace   /home is on sda2
    │     trace   sda2 has no dm parent
    ├─ unknown        production-credentials all: blocks in 24 hours (2026-11-21T21:00:00Z)
    │     reason  because
    │     since   2 hours ago (2026-11-20T19:00:00Z)
    │     method  statx+sysfs
    └─ pass           api-binding gateway
          reason  because
          since   2 hours ago (2026-11-20T19:00:00Z)
          method  statx+sysfs
    "#);
    }

    #[test]
    fn p1_an_attempt_that_was_not_refused_is_shown() {
        let failed = check("self-test", "worker", Status::Fail, Effect::Block);
        let local_facts_json = br#"[{"check":"self-test","subject":"worker","method":"attempt","confidence":"table",
            "observation":{"kind":"self-test","layers":["seccomp","landlock-7"],"attempts":[{"name":"tcp-connect","errno":"EPERM"},
            {"name":"udp-send","errno":null}]}}]"#;
        let wire = WhyResponse { local_facts_json: local_facts_json.to_vec(), ..wire(vec![failed]) };
        insta::assert_snapshot!(WhyView::try_from(wire).expect("a view").render(NOW), @r"
    not serving, E-NOT-COMPLIANT: disk-encryption blocks
    judged 1 minute ago (2026-11-20T20:59:00Z) by laptop@3, evidence self-reported
    └─ fail           self-test worker: blocks serving
          reason  because
          since   2 hours ago (2026-11-20T19:00:00Z)
          method  statx+sysfs
          layers  seccomp, landlock-7
          tried   tcp-connect EPERM, udp-send NOT REFUSED
    ");
    }

    #[test]
    fn before_the_first_verdict() {
        let view = WhyView::try_from(WhyResponse {
            serving_code: "E-NOT-ENROLLED".to_owned(),
            serving_reason: "not enrolled".to_owned(),
            ..WhyResponse::default()
        });
        insta::assert_snapshot!(view.expect("a view").render(NOW), @r"
    not serving, E-NOT-ENROLLED: not enrolled
    hint: run croft enroll with the invite that your admin gave you
    There is no verdict yet.
    ");
    }

    #[test]
    fn p3_a_model_that_was_refused_is_named() {
        let problem = ModelProblem {
            bundle: "starter@2".to_owned(),
            code: "E-CHECK-FAILED".to_owned(),
            detail: "check prompt 1 of 1: the answer does not hold what it must".to_owned(),
        };
        let view = WhyView::try_from(WhyResponse { problems: vec![problem], ..WhyResponse::default() });
        insta::assert_snapshot!(view.expect("a view").render(NOW), @r"
    serving
    starter@2 is not served, E-CHECK-FAILED: check prompt 1 of 1: the answer does not hold what it must
    hint: the model does not answer as it did when it was approved; the version before it keeps serving, tell the admin
    There is no verdict yet.
    ");
    }

    #[test]
    fn a_garbled_verdict_is_an_error_and_not_an_empty_tree() {
        let garbled = WhyResponse { verdict_json: b"{\"checks\":[]}".to_vec(), ..WhyResponse::default() };
        assert!(WhyView::try_from(garbled).is_err());
    }
}
