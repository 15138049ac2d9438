//! `croft status`.

use croft_domain::time::Timestamp;
use croft_proto::grpc::{LocalStatusResponse, ProcessInfo};
use serde::Serialize;

use super::hint_of;
use crate::moment::describe;
use crate::output::one_line;

/// The node's state. Times are Unix seconds, 0 for none.
#[derive(Debug, Serialize)]
pub struct StatusView {
    pub enrolled: bool,
    /// `serving` or `not-serving`.
    pub serving: String,
    pub serving_code: String,
    pub serving_reason: String,
    pub gateway: String,
    /// Path of the API's Unix socket.
    pub gateway_socket: String,
    pub paused: bool,
    pub alarm: String,
    /// What the baseline asks for and nobody agreed to.
    pub consent_waiting: Vec<String>,
    /// The last stored model whose bytes had changed on disk.
    pub damage: String,
    pub damage_at: u64,
    /// When serving ends although it should have been renewed by now.
    pub overdue_until: u64,
    /// Checks that will block.
    pub warnings: Vec<String>,
    /// When the controller last answered.
    pub reached_at: u64,
    pub fleet_name: String,
    pub node_id: String,
    pub group: String,
    pub mode: String,
    pub ownership: String,
    pub controller: String,
    pub connection: String,
    pub lease_until: u64,
    pub certificate_until: u64,
    pub metadata_expires_at: u64,
    pub version: String,
    /// Where the node's key is.
    pub identity_key: String,
    /// How far the last evidence was rooted.
    pub assurance: String,
    pub processes: Vec<ProcessView>,
}

/// One process of the node.
#[derive(Debug, Serialize)]
pub struct ProcessView {
    pub role: String,
    pub pid: u32,
    pub detail: String,
}

impl From<LocalStatusResponse> for StatusView {
    fn from(wire: LocalStatusResponse) -> Self {
        let LocalStatusResponse {
            enrolled,
            fleet_name,
            node_id,
            group,
            mode,
            ownership,
            controller,
            connection,
            lease_until,
            serving,
            serving_code,
            serving_reason,
            gateway,
            gateway_socket,
            paused,
            metadata_expires_at,
            processes,
            version,
            certificate_until,
            alarm,
            consent_waiting,
            damage,
            damage_at,
            overdue_until,
            warnings,
            reached_at,
            identity_key,
            assurance,
        } = wire;
        let process = |ProcessInfo { role, pid, detail }| ProcessView { role, pid, detail };
        Self {
            enrolled,
            serving,
            serving_code,
            serving_reason,
            gateway,
            gateway_socket,
            paused,
            alarm,
            consent_waiting,
            damage,
            damage_at,
            overdue_until,
            warnings,
            reached_at,
            fleet_name,
            node_id,
            group,
            mode,
            ownership,
            controller,
            connection,
            lease_until,
            certificate_until,
            metadata_expires_at,
            version,
            identity_key,
            assurance,
            processes: processes.into_iter().map(process).collect(),
        }
    }
}

impl StatusView {
    pub fn is_serving(&self) -> bool {
        self.serving == "serving"
    }

    fn key_line(&self) -> Option<String> {
        let told = if self.assurance.is_empty() { "not judged yet" } else { &self.assurance };
        let line = format!("{}; evidence counts as: {}", one_line(&self.identity_key), one_line(told));
        (!self.identity_key.is_empty()).then_some(line)
    }

    /// A connection that fails names the code at its end.
    fn connection_hint(&self) -> Option<&'static str> {
        hint_of(self.connection.rsplit_once('(')?.1.trim_end_matches(')'))
    }

    pub fn render(&self, now: Timestamp) -> String {
        let mut lines = Vec::new();
        let mut row = |name: &str, value: String| lines.push(format!("{name:<12} {value}"));
        if self.is_serving() {
            row("serving", format!("yes, at {}", one_line(&self.gateway)));
            row("", format!("and at {}", one_line(&self.gateway_socket)));
        } else {
            let why = format!("{}: {}", one_line(&self.serving_code), one_line(&self.serving_reason));
            row("serving", if self.serving_code.is_empty() { "no".to_owned() } else { format!("no, {why}") });
            if let Some(hint) = hint_of(&self.serving_code) {
                row("", format!("hint: {hint}"));
            }
        }
        if !self.alarm.is_empty() {
            row("ALARM", one_line(&self.alarm));
        }
        if self.overdue_until > now.0 {
            let when = describe(self.overdue_until, now);
            row(
                "ENDS SOON",
                format!("serving ends {when}; connect to the controller once, it renews by itself"),
            );
        }
        for warning in &self.warnings {
            row("warning", format!("{}: croft why", one_line(warning)));
        }
        if !self.damage.is_empty() {
            row("disk", format!("{}, {}", one_line(&self.damage), describe(self.damage_at, now)));
        }
        if !self.consent_waiting.is_empty() {
            let items = self.consent_waiting.iter().map(|item| one_line(item)).collect::<Vec<_>>().join(", ");
            row("consent", format!("the baseline asks for more ({items}): croft consent"));
        }
        if self.paused {
            row("paused", "yes; croft resume serves again".to_owned());
        }
        if self.enrolled {
            row("lease", until(self.lease_until, now));
            row("fleet", format!("{}, group {}", one_line(&self.fleet_name), one_line(&self.group)));
            row("node", format!("{} ({})", one_line(&self.node_id), one_line(&self.ownership)));
            if let Some(key) = self.key_line() {
                row("key", key);
            }
            row("controller", format!("{}, {}", one_line(&self.controller), one_line(&self.connection)));
            if self.is_serving() && self.connection.starts_with("offline") && self.lease_until > 0 {
                let reached = match self.reached_at {
                    0 => String::new(),
                    at => format!("; last reached {}", describe(at, now)),
                };
                row(
                    "",
                    format!(
                        "serving goes on without it: the lease ends {}{reached}",
                        describe(self.lease_until, now)
                    ),
                );
            }
            if let Some(hint) = self.connection_hint() {
                row("", format!("hint: {hint}"));
            }
            row("certificate", until(self.certificate_until, now));
            row("metadata", until(self.metadata_expires_at, now));
        } else {
            row("fleet", "none; not enrolled".to_owned());
        }
        row("version", format!("{} ({} mode)", one_line(&self.version), one_line(&self.mode)));
        for ProcessView { role, pid, detail } in &self.processes {
            row("process", format!("{pid} {} {}", one_line(role), one_line(detail)).trim_end().to_owned());
        }
        lines.into_iter().fold(String::new(), |text, line| text + line.trim_end() + "\n")
    }
}

fn until(at: u64, now: Timestamp) -> String {
    match at {
        0 => "none".to_owned(),
        at if at <= now.0 => format!("ended {}", describe(at, now)),
        at => format!("ends {}", describe(at, now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> LocalStatusResponse {
        LocalStatusResponse {
            enrolled: true,
            fleet_name: "acme".to_owned(),
            node_id: "00112233445566778899aabbccddeeff".to_owned(),
            group: "team-a".to_owned(),
            mode: "user".to_owned(),
            ownership: "personal".to_owned(),
            controller: "https://croft.acme.test:7443".to_owned(),
            connection: "connected".to_owned(),
            lease_until: 1_795_208_400 + 86_400,
            serving: "serving".to_owned(),
            gateway: "http://127.0.0.1:11535".to_owned(),
            gateway_socket: "/run/user/1000/croft/api.sock".to_owned(),
            metadata_expires_at: 1_795_208_400 + 14 * 86_400,
            processes: vec![ProcessInfo {
                role: "worker:starter".to_owned(),
                pid: 41,
                detail: "slot 0".to_owned(),
            }],
            version: "0.1.0".to_owned(),
            certificate_until: 1_795_208_400 + 7 * 86_400,
            identity_key: "in the TPM (/dev/tpmrm0)".to_owned(),
            assurance: "hardware key".to_owned(),
            ..LocalStatusResponse::default()
        }
    }

    const NOW: Timestamp = Timestamp(1_795_208_400);

    #[test]
    fn a_serving_node() {
        insta::assert_snapshot!(StatusView::from(sample()).render(NOW), @r"
    serving      yes, at http://127.0.0.1:11535
                 and at /run/user/1000/croft/api.sock
    lease        ends in 24 hours (2026-11-21T21:00:00Z)
    fleet        acme, group team-a
    node         00112233445566778899aabbccddeeff (personal)
    key          in the TPM (/dev/tpmrm0); evidence counts as: hardware key
    controller   https://croft.acme.test:7443, connected
    certificate  ends in 7 days (2026-11-27T21:00:00Z)
    metadata     ends in 14 days (2026-12-04T21:00:00Z)
    version      0.1.0 (user mode)
    process      41 worker:starter slot 0
    ");
    }

    #[test]
    fn p8_an_expired_lease_is_told_with_its_cure() {
        let wire = LocalStatusResponse {
            serving: "not-serving".to_owned(),
            serving_code: "E-LEASE-EXPIRED".to_owned(),
            serving_reason: "the lease ended".to_owned(),
            connection: "offline: no route to host".to_owned(),
            lease_until: NOW.0 - 7_200,
            ..sample()
        };
        insta::assert_snapshot!(StatusView::from(wire).render(NOW), @r"
    serving      no, E-LEASE-EXPIRED: the lease ended
                 hint: the lease ended while the controller was out of reach; connect once and it renews by itself
    lease        ended 2 hours ago (2026-11-20T19:00:00Z)
    fleet        acme, group team-a
    node         00112233445566778899aabbccddeeff (personal)
    key          in the TPM (/dev/tpmrm0); evidence counts as: hardware key
    controller   https://croft.acme.test:7443, offline: no route to host
    certificate  ends in 7 days (2026-11-27T21:00:00Z)
    metadata     ends in 14 days (2026-12-04T21:00:00Z)
    version      0.1.0 (user mode)
    process      41 worker:starter slot 0
    ");
    }

    #[test]
    fn p8_a_controller_that_is_away_is_no_incident_until_the_lease_runs_short() {
        let away = LocalStatusResponse {
            connection: "offline: no route to host (E-NET-UNREACHABLE)".to_owned(),
            reached_at: NOW.0 - 86_400,
            ..sample()
        };
        let text = StatusView::from(away.clone()).render(NOW);
        let says = "serving goes on without it: the lease ends in 24 hours (2026-11-21T21:00:00Z); \
                    last reached 24 hours ago (2026-11-19T21:00:00Z)";
        assert!(text.contains(says) && !text.contains("ENDS SOON"), "{text}");
        let short = LocalStatusResponse {
            overdue_until: NOW.0 + 3_600,
            lease_until: NOW.0 + 3_600,
            warnings: vec!["endpoint on firewall blocks serving in 2 days".to_owned()],
            ..away
        };
        let text = StatusView::from(short).render(NOW);
        for line in [
            "ENDS SOON    serving ends in 1 hour (2026-11-20T22:00:00Z); connect to the controller once, it renews by itself\n",
            "warning      endpoint on firewall blocks serving in 2 days: croft why\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn p3_an_alarm_stands_out_and_cannot_forge_lines() {
        let wire = LocalStatusResponse {
            alarm: "targets went back\nserving      yes\u{1b}[2J".to_owned(),
            version: "0.1.0".to_owned(),
            ..LocalStatusResponse::default()
        };
        insta::assert_snapshot!(StatusView::from(wire).render(NOW), @r"
    serving      no
    ALARM        targets went back serving      yes\u{1b}[2J
    fleet        none; not enrolled
    version      0.1.0 ( mode)
    ");
    }
}
