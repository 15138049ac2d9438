//! `croft enroll --preview`: what joining means, before anything is sent.

use croft_domain::time::Timestamp;
use croft_proto::grpc::PreviewEnrollmentResponse;

use crate::moment::describe;
use crate::output::{one_line, printable};

/// What enrolling would send and collect.
#[derive(Debug)]
pub struct PreviewView {
    wire: PreviewEnrollmentResponse,
    ownership: String,
}

impl PreviewView {
    pub fn new(wire: PreviewEnrollmentResponse, ownership: &str) -> Self {
        Self { wire, ownership: ownership.to_owned() }
    }

    pub fn render(&self, now: Timestamp) -> String {
        let PreviewEnrollmentResponse {
            controller,
            fleet_name,
            group,
            tier,
            expires_at,
            ca_pin,
            collected,
            first_message,
        } = &self.wire;
        let mut text = String::new();
        let mut row = |name: &str, value: &str| text.push_str(&format!("{name:<12} {}\n", one_line(value)));
        row("fleet", fleet_name);
        row("group", &format!("{group}, tier {tier}"));
        row("controller", controller);
        row("its CA", ca_pin);
        row("invite ends", &describe(*expires_at, now));
        row("machine", &self.ownership);
        text.push_str("\nWhat is collected, and why:\n");
        for line in collected {
            text.push_str(&format!("  - {}\n", one_line(line)));
        }
        text.push_str("\nThe first message, as it would be sent (the secret is masked):\n");
        text.push_str(&printable(&String::from_utf8_lossy(first_message)));
        text.push_str(
            "\n\nPrompts, answers and files never leave. croft privacy shows every message that does.\n",
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p10_consent_is_asked_with_everything_on_the_table() {
        let wire = PreviewEnrollmentResponse {
            controller: "https://croft.acme.test:7443".to_owned(),
            fleet_name: "acme".to_owned(),
            group: "team-a".to_owned(),
            tier: 1,
            expires_at: 1_795_208_400 + 540,
            ca_pin: "sha256:00aa".to_owned(),
            collected: vec!["disk encryption of / and home: required by the tier".to_owned()],
            first_message: br#"{"ownership":"personal","os":"linux"}"#.to_vec(),
        };
        let text = PreviewView::new(wire, "personal").render(Timestamp(1_795_208_400));
        insta::assert_snapshot!(text, @r#"
    fleet        acme
    group        team-a, tier 1
    controller   https://croft.acme.test:7443
    its CA       sha256:00aa
    invite ends  in 9 minutes (2026-11-20T21:09:00Z)
    machine      personal

    What is collected, and why:
      - disk encryption of / and home: required by the tier

    The first message, as it would be sent (the secret is masked):
    {"ownership":"personal","os":"linux"}

    Prompts, answers and files never leave. croft privacy shows every message that does.
    "#);
    }
}
