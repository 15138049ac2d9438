//! `croft why`: whether it serves, which models it does not, and the last verdict as a tree.

use croft_domain::fact::Fact;
use croft_domain::time::Timestamp;
use croft_domain::tree::tree;
use croft_domain::verdict::Verdict;
use croft_proto::grpc::{ModelProblem, WhyResponse};
use serde::Serialize;

use super::hint_of;
use crate::moment::exact_of;
use crate::output::one_line;

/// The last verdict, and what was seen on this machine.
#[derive(Debug, Serialize)]
pub struct WhyView {
    pub serving_code: String,
    pub serving_reason: String,
    /// None before the first.
    pub verdict: Option<Verdict>,
    /// As the daemon keeps them; they stay on this machine.
    pub local_facts: Vec<Fact>,
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
        let local_facts =
            if local_facts_json.is_empty() { Vec::new() } else { serde_json::from_slice(&local_facts_json)? };
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
        text.push_str(&tree(verdict, &self.local_facts, now, exact_of));
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::verdict::{Assurance, CheckResult, Effect, Remedy, Status};

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
    ├─ fail    disk-encryption home: blocks serving
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
    ├─ unknown production-credentials all: blocks in 24 hours (2026-11-21T21:00:00Z)
    │     reason  because
    │     since   2 hours ago (2026-11-20T19:00:00Z)
    │     method  statx+sysfs
    └─ pass    api-binding gateway
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
    └─ fail    self-test worker: blocks serving
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
