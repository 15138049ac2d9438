//! `croft fix`: guides as lines for a shell. What is not typed is a comment, so that all of it can be pasted.

use croft_domain::remedy::Guide;
use serde::Serialize;

/// What to do about some subjects.
#[derive(Debug, Serialize)]
pub struct FixView {
    pub fixes: Vec<Guide>,
}

impl FixView {
    pub fn new(guides: &[&'static Guide]) -> Self {
        Self { fixes: guides.iter().map(|guide| **guide).collect() }
    }

    pub fn render(&self) -> String {
        let blocks = self.fixes.iter().map(|fix| {
            let subject = if fix.subject == "*" { String::new() } else { format!(" {}", fix.subject) };
            let back = if fix.reversible { "yes" } else { "no" };
            let head = format!(
                "# {}{subject}: {}\n# effort: {}; risk: {}; reversible: {back}\n",
                fix.check, fix.action, fix.effort, fix.risk
            );
            head + &fix.commands.iter().map(|line| format!("{line}\n")).collect::<String>()
        });
        blocks.collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use croft_domain::remedy::{GUIDES, named};

    use super::*;

    #[test]
    fn everything_that_is_not_a_command_is_a_comment() {
        let guides: Vec<&Guide> = named("time-sync").collect();
        insta::assert_snapshot!(FixView::new(&guides).render(), @r"
        # endpoint time-sync: Let the system keep its clock
        # effort: one minute; risk: none; reversible: yes
        sudo timedatectl set-ntp true
        timedatectl timesync-status
        ");
        let all: Vec<&Guide> = GUIDES.iter().collect();
        assert_eq!(FixView::new(&all).fixes.len(), GUIDES.len());
    }
}
