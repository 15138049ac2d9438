//! What was observed, for this machine's own screen.

use std::fmt::Write;

use croft_domain::fact::{Confidence, DiskState};
use serde::Serialize;

use super::credentials::{Outcome, RuleFinding};
use super::disk::DiskFinding;
use super::endpoint::Defense;
use super::platform::Release;

/// Everything that was asked about.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Seen {
    pub(super) disks: Vec<DiskFinding>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) defenses: Vec<Defense>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) release: Option<Release>,
    /// Not asked about, or not readable, or by rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<Option<Vec<RuleFinding>>>,
}

impl Seen {
    pub(super) fn render(&self) -> String {
        let mut text = self.disk_table();
        if let Some(release) = &self.release {
            let kernel = release.kernel.as_deref().unwrap_or("a kernel that does not say which");
            let _ = writeln!(text, "\nSYSTEM    {}, {kernel}", release.system);
        }
        if !self.defenses.is_empty() {
            let _ = writeln!(text, "\n{:11}  {:7}  HOW IT IS KNOWN", "DEFENSE", "STANDS");
        }
        for Defense { subject, stands, method, .. } in &self.defenses {
            let (word, how) = match stands {
                Ok(true) => ("yes", *method),
                Ok(false) => ("no", *method),
                Err(why) => ("unknown", *why),
            };
            let _ = writeln!(text, "{subject:11}  {word:7}  {how}");
        }
        match &self.credentials {
            None => {}
            Some(None) => text.push_str("\nThe home folder cannot be read: credentials are unknown.\n"),
            Some(Some(rules)) => credentials(&mut text, rules),
        }
        text
    }

    fn disk_table(&self) -> String {
        let width = self.disks.iter().map(|finding| finding.path.len()).max().unwrap_or(0).max(4);
        let mut text = format!("{:width$}  {:9}  CONFIDENCE\n", "PATH", "STATE");
        for finding in &self.disks {
            let (state, confidence) = (word(finding.state), confidence_word(finding.confidence));
            let _ = writeln!(text, "{:width$}  {state:9}  {confidence}", printable(&finding.path));
            for line in &finding.trace {
                let _ = writeln!(text, "  {}", printable(line));
            }
        }
        text
    }
}

fn credentials(text: &mut String, rules: &[RuleFinding]) {
    let mut lines = Vec::new();
    for RuleFinding { id, outcome } in rules {
        match outcome {
            Outcome::Found(names) if names.is_empty() => {}
            Outcome::Found(names) => {
                let names: Vec<String> = names.iter().map(|name| printable(name)).collect();
                lines.push(format!("{id:17}  {}", names.join(", ")));
            }
            Outcome::Unreadable(why) => lines.push(format!("{id:17}  unknown: {why}")),
        }
    }
    if lines.is_empty() {
        text.push_str("\nNo credential here leads to production by its name.\n");
        return;
    }
    text.push_str("\nLEADS TO PRODUCTION BY ITS NAME (names stay on this machine; only counts are told)\n");
    lines.iter().for_each(|line| text.push_str(&format!("{line}\n")));
}

/// Paths and names are whatever somebody wrote: nothing of them may move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

const fn word(state: DiskState) -> &'static str {
    match state {
        DiskState::Encrypted => "encrypted",
        DiskState::Plain => "plain",
        DiskState::Volatile => "volatile",
        DiskState::Unknown => "unknown",
    }
}

const fn confidence_word(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::None => "none",
        Confidence::Heuristic => "heuristic",
        Confidence::Uuid => "uuid",
        Confidence::Table => "table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_line_and_no_name_moves_the_cursor() {
        let names = ["prod-admin\u{1b}[2J".to_owned()].into();
        let seen = Seen {
            disks: vec![DiskFinding {
                path: "/".to_owned(),
                state: DiskState::Plain,
                confidence: Confidence::Table,
                trace: vec!["sda: a disk".to_owned()],
            }],
            defenses: vec![
                Defense::known("firewall", false, "ufw.conf", Confidence::Heuristic),
                Defense::unknown("time-sync", "nobody says"),
            ],
            release: Some(Release { system: "debian 12".to_owned(), kernel: Some("6.1".to_owned()) }),
            credentials: Some(Some(vec![
                RuleFinding { id: "aws-profiles", outcome: Outcome::Found(names) },
                RuleFinding { id: "netrc", outcome: Outcome::Found([].into()) },
            ])),
        };
        let expected = "PATH  STATE      CONFIDENCE\n\
            /     plain      table\n  sda: a disk\n\n\
            SYSTEM    debian 12, 6.1\n\n\
            DEFENSE      STANDS   HOW IT IS KNOWN\n\
            firewall     no       ufw.conf\n\
            time-sync    unknown  nobody says\n\n\
            LEADS TO PRODUCTION BY ITS NAME (names stay on this machine; only counts are told)\n\
            aws-profiles       prod-admin\u{fffd}[2J\n";
        assert_eq!(seen.render(), expected);
        let blind = Seen { credentials: Some(None), ..Seen::default() };
        assert!(blind.render().contains("credentials are unknown"));
    }
}
