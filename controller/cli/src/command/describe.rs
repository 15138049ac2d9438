//! `describe`: one thing in full. A node's verdict is drawn by the one function that draws it for its owner as well.

use croft_domain::fact::Fact;
use croft_domain::printable::one_line;
use croft_domain::time::Timestamp;
use croft_domain::tree::tree;
use croft_domain::verdict::Verdict;
use croft_proto::grpc::{DescribeNodeRequest, DescribeNodeResponse};
use serde::Serialize;

use super::get::Node;
use crate::args::{Describe, Format};
use crate::client::{connect, refused, resolve_node};
use crate::clock::{self, written};
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{document, print_data};

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
        Format::Table | Format::Wide => shown(&description, clock::now()),
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

/// The machine's books, then its last verdict in the form that its owner sees too (`croft why`).
fn shown(description: &Description, now: Timestamp) -> String {
    let Description { node, chain_length, verdict, evidence, .. } = description;
    let facts: Vec<Fact> = evidence
        .as_ref()
        .and_then(|evidence| serde_json::from_value(evidence["facts"].clone()).ok())
        .unwrap_or_default();
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&one_line(&line));
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
    if !node.notice.is_empty() {
        line(format!("  NOTICED    {}, {}", node.notice, written(Timestamp(node.notice_at))));
        line("             restored: there, croft leave, then enroll with a new invite".to_owned());
        line(format!(
            "             copied: croftctl node evict {} --reason …, then enroll both anew",
            node.node
        ));
        line(format!(
            "             looked into: croftctl node restore {} --reason … takes this back",
            node.node
        ));
    }
    let Some(verdict) = verdict else {
        line("  verdict    none yet".to_owned());
        return text;
    };
    text.push_str(&tree(verdict, &facts, now, written));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict() -> Vec<u8> {
        br#"{"baseline":{"name":"standard","version":1},"at":1795219200,"assurance":"self-reported","checks":[
            {"check":"disk-encryption","subject":"/","status":"pass","effect":"none","reason":"/ is encrypted",
             "since":1795219200,"method":"dm-uuid"},
            {"check":"disk-encryption","subject":"swap:partition","status":"fail","effect":"warn",
             "reason":"swap:partition is not encrypted","since":1795219200,"blocks_at":1795222800,"method":"dm-uuid",
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
        let text = shown(&read(response(verdict())).expect("a description"), Timestamp(1_795_222_800));
        let drawn: Verdict = serde_json::from_slice(&verdict()).expect("a verdict");
        // What its owner reads on the machine, and nothing else.
        let books =
            text.strip_suffix(&tree(&drawn, &[], Timestamp(1_795_222_800), written)).expect("the tree");
        insta::assert_snapshot!(books, @"
        node abababababababababababababababab
          group      team
          standing   active, blocked
          machine    linux, personal, user mode, agent 0.1.0
          last seen  -
          lease      until -
          history    3 entries
        ");
    }

    #[test]
    fn no_verdict_yet_and_a_damaged_one_are_told_apart() {
        let text = shown(&read(response(Vec::new())).expect("a description"), Timestamp(0));
        assert!(text.ends_with("verdict    none yet\n"), "{text}");
        assert!(matches!(read(response(b"{".to_vec())), Err(CtlError::Answer { .. })));
    }
}
