//! What the owner is told before it happens: that serving will end, that a check will block, that something was found.
//!
//! [`due`] is pure. [`run`] asks it every few seconds and hands each sentence once to the program that the owner named in
//! `node.toml`; no controller and no baseline can name one (P10). What they can do is to be the reason of a sentence, which is
//! composed here, bounded and on one line.

use std::collections::BTreeSet;
use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::moment::relative;
use croft_domain::printable::one_line;
use croft_domain::time::Timestamp;
use croft_domain::verdict::{Effect, Verdict};
use tokio_util::sync::CancellationToken;

use super::memory::{Memory, Shared};
use crate::clock;
use crate::config::NotifyConfig;
use crate::failure::Failure;
use crate::limits::{HERALD_EVERY, NOTICE_LEN_MAX, NOTICES_TOLD_MAX};
use crate::notify;

/// How long before an end it is told again, in seconds: a day, four hours, an hour, ten minutes.
const STEPS_S: [u64; 4] = [86_400, 4 * 3_600, 3_600, 600];

/// What there is to foresee.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    /// Why nothing is served, if so.
    pub refusal: Option<&'a Failure>,
    /// When the lease began and when serving ends unless something changes.
    pub serving: Option<(Timestamp, Timestamp)>,
    /// The last verdict.
    pub verdict: Option<&'a Verdict>,
    /// Now.
    pub now: Timestamp,
}

/// One sentence. The same key is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What it is about, and which of its times.
    pub key: String,
    /// For a person.
    pub text: String,
}

/// When serving ends though it should not: a lease that should have been renewed by now. A lease renews at half of its life;
/// two fifths leave room for a short outage.
#[must_use]
pub fn overdue(issued: Timestamp, until: Timestamp, now: Timestamp) -> Option<Timestamp> {
    let life = until.since(issued);
    (until.since(now) <= life / 5 * 2 && now < until).then_some(until)
}

/// What is to be told now; which of it was told before is the caller's to know.
#[must_use]
pub fn due(outlook: &Outlook<'_>) -> Vec<Notice> {
    let now = outlook.now;
    let mut notices = Vec::new();
    let mut tell = |key: String, text: String| {
        let mut text = one_line(&text);
        let end = (0..=text.len().min(NOTICE_LEN_MAX)).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        notices.push(Notice { key, text });
    };
    if let Some(until) = outlook.serving.and_then(|(issued, until)| overdue(issued, until, now)) {
        let step = step(until.since(now));
        tell(
            format!("end {} {step}", until.0),
            format!(
                "Croft stops serving {}: connect to the controller once, it renews by itself",
                relative(until, now)
            ),
        );
    }
    // What the owner did is no news to the owner.
    let is_own =
        |code| matches!(code, Code::Paused | Code::NotEnrolled | Code::LeaseNone | Code::SandboxUnproven);
    if let Some(refusal) = outlook.refusal.filter(|refusal| !is_own(refusal.code())) {
        tell(
            format!("stop {}", refusal.code()),
            format!("Croft does not serve: {refusal} ({})", refusal.code()),
        );
    }
    for check in outlook.verdict.iter().flat_map(|verdict| &verdict.checks) {
        let (name, subject) = (&check.check, &check.subject);
        match (check.effect, check.blocks_at) {
            (Effect::Warn, Some(at)) if at > now => {
                let step = step(at.since(now));
                tell(
                    format!("block {name} {subject} {} {step}", at.0),
                    format!(
                        "Croft will stop serving {}: {name} on {subject}; croft why says what to do",
                        relative(at, now)
                    ),
                );
            }
            (Effect::Warn | Effect::Notify, _) => tell(
                format!("found {name} {subject} {}", check.since.0),
                format!("Croft found that {name} does not hold on {subject}; croft why says what to do"),
            ),
            _ => {}
        }
    }
    notices
}

// The smallest step that is not over; beyond the first, the first sight.
fn step(left_s: u64) -> u64 {
    STEPS_S.into_iter().filter(|step| left_s <= *step).min().unwrap_or(u64::MAX)
}

/// Runs until stopped, or not at all without a program to tell.
pub async fn run(shared: Arc<Shared>, config: NotifyConfig, stop: CancellationToken) {
    let Some(program) = config.program else { return };
    let mut told = BTreeSet::new();
    loop {
        let notices = {
            let memory = shared.memory();
            let (now, serving) = (clock::now(), serving(&memory));
            let refused = memory.serving(now, clock::boottime_ms());
            let verdict = memory.verdict.as_ref().map(|last| &last.verdict);
            due(&Outlook { refusal: refused.refusal(), serving, verdict, now })
        };
        // What is over may be news again when it comes back.
        told.retain(|key| notices.iter().any(|notice| notice.key == *key));
        for notice in notices {
            if told.len() < NOTICES_TOLD_MAX && told.insert(notice.key) {
                notify::tell(&program, &config.arguments, &notice.text).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(HERALD_EVERY) => {}
        }
    }
}

/// When the lease began, and when serving ends with it or with the metadata.
#[must_use]
pub fn serving(memory: &Memory) -> Option<(Timestamp, Timestamp)> {
    let lease = &memory.lease.as_ref()?.lease;
    let metadata = memory.trust.as_ref()?.expires_at;
    Some((lease.issued_at, lease.expires_at.min(metadata)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn told(outlook: &Outlook<'_>) -> Vec<String> {
        due(outlook).into_iter().map(|notice| notice.text).collect()
    }

    fn outlook(serving: Option<(Timestamp, Timestamp)>) -> Outlook<'static> {
        Outlook { refusal: None, serving, verdict: None, now: NOW }
    }

    #[test]
    fn p8_a_lease_that_renews_in_time_is_no_news_and_one_that_does_not_counts_down() {
        let week = 7 * 86_400;
        let lease = |left: u64| Some((NOW.plus(left).minus(week), NOW.plus(left)));
        assert_eq!(due(&outlook(lease(week / 2))), []);
        let keys: BTreeSet<String> = (1..week * 2 / 5)
            .step_by(301)
            .flat_map(|left| {
                due(&Outlook { now: NOW.plus(week).minus(left), ..outlook(Some((NOW, NOW.plus(week)))) })
            })
            .map(|notice| notice.key)
            .collect();
        assert_eq!(keys.len(), 1 + STEPS_S.len(), "each step once: {keys:?}");
        let text = &told(&outlook(lease(7_200)))[0];
        assert_eq!(
            text,
            "Croft stops serving in 2 hours: connect to the controller once, it renews by itself"
        );
        assert_eq!(due(&outlook(lease(0))), [], "the end itself is told as a refusal");
    }

    #[test]
    fn p10_what_a_controller_writes_stays_one_bounded_line() {
        let check = format!(
            r#"{{"check":"endpoint","subject":"a\n--icon=/etc/passwd\u001b[2J{}","status":"fail","effect":"notify",
                "reason":"x","since":5,"method":"m"}}"#,
            "y".repeat(900)
        );
        let text = format!(
            r#"{{"baseline":{{"name":"b","version":1}},"at":1,"assurance":"self-reported","checks":[{check}]}}"#
        );
        let verdict: Verdict = serde_json::from_str(&text).expect("a verdict");
        let texts = told(&Outlook { verdict: Some(&verdict), ..outlook(None) });
        assert!(texts[0].starts_with("Croft found that endpoint does not hold on a --icon"), "{texts:?}");
        assert!(texts[0].len() <= NOTICE_LEN_MAX && !texts[0].contains(['\n', '\u{1b}']));
    }

    #[test]
    fn a_stop_is_told_but_not_to_who_paused() {
        let failure = |code| Failure::new(code, "reason");
        let (expired, paused) = (failure(Code::LeaseExpired), failure(Code::Paused));
        let of = |refusal| told(&Outlook { refusal: Some(refusal), ..outlook(None) });
        assert_eq!(of(&expired), ["Croft does not serve: reason (E-LEASE-EXPIRED)"]);
        assert_eq!(of(&paused), Vec::<String>::new());
    }
}
