//! `describe`: one thing in full. A node's verdict is drawn as a tree: check, subject, reason, remedy.

use std::fmt::Write;

use croft_domain::time::Timestamp;
use croft_domain::verdict::{Assurance, CheckResult, Effect, Status, Verdict};
use croft_proto::grpc::{DescribeNodeRequest, DescribeNodeResponse};
use serde::Serialize;

use super::get::Node;
use crate::args::{Describe, Format};
use crate::client::{connect, refused, resolve_node};
use crate::clock::written;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{clean, document, print_data};

/// A node in full, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Description {
    #[serde(flatten)]
    node: Node,
    chain_head: String,
    chain_length: u64,
    verdict: Option<Verdict>,
    evidence: Option<serde_json::Value>,
}

/// Runs `describe`.
///
/// # Errors
/// There is no such node, or the controller's answer makes no sense.
pub async fn run(dir: &FleetDir, what: &Describe, format: Format) -> Result<(), CtlError> {
    let Describe::Node { id } = what;
    let mut admin = connect(dir).await?;
    let node_id = resolve_node(&mut admin, id).await?.0.to_vec();
    let answer = admin
        .describe_node(DescribeNodeRequest { node_id })
        .await
        .map_err(refused("describe a node"))?
        .into_inner();
    let description = read(answer)?;
    print_data(&match format {
        Format::Json | Format::Yaml => document(&description, format)?,
        Format::Name => format!("{}\n", description.node.node),
        Format::Table | Format::Wide => tree(&description),
    })
}

fn read(wire: DescribeNodeResponse) -> Result<Description, CtlError> {
    let DescribeNodeResponse { summary, verdict_json, evidence_json, chain_head, chain_length } = wire;
    let unusable = |message: String| CtlError::Answer { operation: "describe a node", message };
    let node = summary.map(Node::from).ok_or_else(|| unusable("it has no summary".to_owned()))?;
    Ok(Description {
        node,
        chain_head: hex::encode(chain_head),
        chain_length,
        verdict: parsed(&verdict_json).map_err(|e| unusable(format!("its verdict is none: {e}")))?,
        evidence: parsed(&evidence_json).map_err(|e| unusable(format!("its evidence is none: {e}")))?,
    })
}

fn parsed<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, serde_json::Error> {
    if bytes.is_empty() { Ok(None) } else { serde_json::from_slice(bytes).map(Some) }
}

fn tree(description: &Description) -> String {
    let Description { node, chain_length, verdict, .. } = description;
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&clean(&line));
        text.push('\n');
    };
    line(format!("node {}", node.node));
    line(format!("  group      {}", node.group));
    line(format!("  standing   {}, {}", node.standing, node.outcome));
    line(format!(
        "  machine    {}, {}, {} mode, agent {}",
        node.os, node.ownership, node.mode, node.agent_version
    ));
    line(format!("  last seen  {}", written(Timestamp(node.last_seen))));
    line(format!("  lease      until {}", written(Timestamp(node.lease_until))));
    line(format!("  history    {chain_length} entries"));
    let Some(verdict) = verdict else {
        line("  verdict    none yet".to_owned());
        return text;
    };
    let assurance = match verdict.assurance {
        Assurance::SelfReported => "self-reported",
        Assurance::HardwareKey => "hardware key",
        Assurance::Measured => "measured",
    };
    line(format!("  verdict    by {}, {}, {assurance}", verdict.baseline, written(verdict.at)));
    text.push_str(&checks(&verdict.checks));
    text
}

fn checks(checks: &[CheckResult]) -> String {
    let mut text = String::new();
    let mut groups: Vec<&[CheckResult]> = checks.chunk_by(|a, b| a.check == b.check).collect();
    let last = groups.pop();
    for group in groups {
        branch(&mut text, group, "├─", "│  ");
    }
    if let Some(group) = last {
        branch(&mut text, group, "└─", "   ");
    }
    text
}

fn branch(text: &mut String, group: &[CheckResult], knot: &str, stem: &str) {
    let Some(first) = group.first() else { return };
    let _ = writeln!(text, "  {knot} {}", first.check);
    for (index, check) in group.iter().enumerate() {
        let (twig, below) = if index + 1 == group.len() { ("└─", "   ") } else { ("├─", "│  ") };
        let line = format!("{:<8} {}: {} [{}]", answer(check), check.subject, check.reason, check.method);
        let _ = writeln!(text, "  {stem}{twig} {}", clean(&line));
        let mut detail = |line: String| {
            let _ = writeln!(text, "  {stem}{below}         {}", clean(&line));
        };
        if check.effect == Effect::Block {
            detail(format!("blocks, since {}", written(check.since)));
        }
        if let (Effect::Warn, Some(at)) = (check.effect, check.blocks_at) {
            detail(format!("warns, blocks at {}", written(at)));
        }
        if let (Status::Waived, Some(at)) = (check.status, check.blocks_at) {
            detail(format!("excepted by a signed waiver, blocks at {}", written(at)));
        }
        if let Some(remedy) = &check.remedy {
            detail(format!("remedy: {} (effort: {}; risk: {})", remedy.action, remedy.effort, remedy.risk));
        }
        if !check.controls.is_empty() {
            detail(format!("controls: {}", check.controls.join(", ")));
        }
    }
}

const fn answer(check: &CheckResult) -> &'static str {
    match check.status {
        Status::Pass => "pass",
        Status::Fail => "FAIL",
        Status::Unknown => "UNKNOWN",
        Status::NotApplicable => "n/a",
        Status::Waived => "waived",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Vec<u8> {
        br#"{"baseline":{"name":"standard","version":1},"at":1795219200,"assurance":"self-reported","checks":[
            {"check":"disk-encryption","subject":"/","status":"pass","effect":"none","reason":"/ is encrypted",
             "since":1795219200,"method":"dm-uuid"},
            {"check":"disk-encryption","subject":"swap:/dev/sda2","status":"fail","effect":"warn",
             "reason":"swap:/dev/sda2 is not encrypted","since":1795219200,"blocks_at":1795222800,"method":"dm-uuid",
             "remedy":{"action":"Use zram","effort":"five minutes","risk":"none","reversible":true}},
            {"check":"self-test","subject":"gateway","status":"unknown","effect":"block",
             "reason":"evil\u001b[2J","since":1795219200,"method":"none"}]}"#
            .to_vec()
    }

    fn response(verdict_json: Vec<u8>) -> DescribeNodeResponse {
        DescribeNodeResponse {
            summary: Some(croft_proto::grpc::NodeSummary {
                node_id: vec![0xab; 16],
                group: "team".to_owned(),
                standing: "active".to_owned(),
                outcome: "blocked".to_owned(),
                os: "linux".to_owned(),
                ownership: "personal".to_owned(),
                mode: "user".to_owned(),
                agent_version: "0.1.0".to_owned(),
                ..Default::default()
            }),
            verdict_json,
            chain_length: 3,
            ..Default::default()
        }
    }

    #[test]
    fn a_verdict_is_a_tree() {
        let text = tree(&read(response(verdict())).expect("a description"));
        insta::assert_snapshot!(text, @"
        node abababababababababababababababab
          group      team
          standing   active, blocked
          machine    linux, personal, user mode, agent 0.1.0
          last seen  -
          lease      until -
          history    3 entries
          verdict    by standard@1, 2026-11-21T00:00:00Z, self-reported
          ├─ disk-encryption
          │  ├─ pass     /: / is encrypted [dm-uuid]
          │  └─ FAIL     swap:/dev/sda2: swap:/dev/sda2 is not encrypted [dm-uuid]
          │              warns, blocks at 2026-11-21T01:00:00Z
          │              remedy: Use zram (effort: five minutes; risk: none)
          └─ self-test
             └─ UNKNOWN  gateway: evil�[2J [none]
                         blocks, since 2026-11-21T00:00:00Z
        ");
    }

    #[test]
    fn no_verdict_yet_and_a_damaged_one_are_told_apart() {
        let text = tree(&read(response(Vec::new())).expect("a description"));
        assert!(text.ends_with("verdict    none yet\n"), "{text}");
        assert!(matches!(read(response(b"{".to_vec())), Err(CtlError::Answer { .. })));
    }
}
