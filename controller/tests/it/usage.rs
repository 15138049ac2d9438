//! Counters of several nodes, from their evidence to a report: nothing is told about fewer than five.

use croft_domain::collection::Item;
use croft_domain::id::{BundleName, GroupName};
use croft_domain::report::Report;
use croft_domain::usage::Sensitivity;
use croft_proto::grpc::{CreateReportRequest, GetReportRequest};
use serde_json::json;

use crate::fleet::{Fleet, Node};

/// Sends evidence with these counters.
async fn count(node: &mut Node, counter: u64, requests: u64) {
    let challenge = node.challenge().await;
    let mut evidence = node.evidence(&challenge, counter);
    evidence.collected = vec![Item::UsageClasses];
    evidence.usage = serde_json::from_value(json!([
        {"model": "starter", "data_class": "internal", "requests": requests, "prompt_tokens": 2, "completion_tokens": 3},
        {"model": "made-up", "data_class": "internal", "requests": 7, "prompt_tokens": 0, "completion_tokens": 0},
    ]))
    .unwrap();
    evidence.content = serde_json::from_value(json!([{"kind": "access-tokens", "requests": 1}])).unwrap();
    let envelope = node.signed(&evidence);
    node.attest(envelope).await.unwrap();
}

async fn report(fleet: &Fleet) -> (Report, String) {
    let mut admin = fleet.admin().await;
    let report_id = admin.create_report(CreateReportRequest {}).await.unwrap().into_inner().report_id;
    let get = |format: &str| GetReportRequest { report_id: report_id.clone(), format: format.to_owned() };
    let json = admin.get_report(get("json")).await.unwrap().into_inner().content;
    let html = admin.get_report(get("html")).await.unwrap().into_inner().content;
    (serde_json::from_slice(&json).unwrap(), String::from_utf8(html).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p6_use_is_broken_down_from_five_nodes_on() {
    let fleet = Fleet::start().await;
    let mut nodes = Vec::new();
    for invite in 1..=5 {
        nodes.push(fleet.enroll(invite).await);
    }
    for node in &mut nodes[..4] {
        count(node, 1, 10).await;
    }
    let (few, _) = report(&fleet).await;
    // A model that was never published is nobody's counter.
    assert_eq!((few.usage.nodes, few.usage.amount.requests), (4, 40));
    assert!(few.usage.groups.is_empty() && few.usage.content.is_empty());
    count(&mut nodes[0], 2, 1).await;
    count(&mut nodes[4], 1, u64::MAX).await;
    let (enough, html) = report(&fleet).await;
    let group = &enough.usage.groups[0];
    assert_eq!((group.group.as_ref().map(GroupName::as_str), group.nodes), (Some("dev"), 5));
    let line = &group.lines[0];
    assert_eq!(line.model.as_ref().map(BundleName::as_str), Some("starter"));
    assert_eq!((line.data_class, line.amount.prompt_tokens), (Some(Sensitivity::Internal), 12));
    assert_eq!(line.amount.requests, 41 + 1_000_000_000_000, "what no machine reaches is cut");
    assert_eq!(enough.usage.content[0].requests, 6);
    assert!(html.contains("<td>dev</td><td>starter</td><td>internal</td>"), "{html}");
    assert!(html.contains("access-tokens") && !html.contains("made-up"), "{html}");
}
