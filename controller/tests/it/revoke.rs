//! Ending a membership, and telling those who watch.

use croft_domain::signed::Domain;
use croft_proto::grpc::watch_event::Event;
use croft_proto::grpc::{ChallengeRequest, LeaveRequest, SetNodeStandingRequest, SubmitRecallRequest};
use croft_trust::sign::SigningKey;
use serde_json::json;

use crate::fleet::{Fleet, code};

async fn next(stream: &mut tonic::Streaming<croft_proto::grpc::WatchEvent>) -> Option<Event> {
    stream.message().await.ok().flatten().and_then(|event| event.event)
}

fn standing(node: croft_domain::id::NodeId, standing: &str) -> SetNodeStandingRequest {
    SetNodeStandingRequest {
        node_id: node.0.to_vec(),
        standing: standing.to_owned(),
        reason: "stolen on a train".to_owned(),
    }
}

#[tokio::test]
async fn a_banned_node_on_an_open_stream_is_told_and_cut() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let mut stream = node.watch().await;
    assert!(matches!(next(&mut stream).await, Some(Event::Desired(_))));
    fleet.admin().await.set_node_standing(standing(node.id, "banned")).await.unwrap();
    match next(&mut stream).await {
        Some(Event::Revoked(revoked)) => assert_eq!(revoked.reason, "stolen on a train"),
        other => panic!("expected the end, not {other:?}"),
    }
    assert!(next(&mut stream).await.is_none());
    // The old connection is gone; a new one with the same, still valid certificate is refused at each request.
    let mut again = fleet.node_client(&node.key, &node.chain).await;
    assert_eq!(code(again.challenge(ChallengeRequest::default()).await), "E-NODE-REVOKED");
    fleet.admin().await.set_node_standing(standing(node.id, "active")).await.unwrap();
    let mut restored = fleet.node_client(&node.key, &node.chain).await;
    restored.challenge(ChallengeRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_watching_node_hears_of_assignment_publish_and_recall() {
    let mut fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let mut stream = node.watch().await;
    let Some(Event::Desired(first)) = next(&mut stream).await else { panic!("no first state") };
    assert_eq!((first.bundles.len(), first.baseline.as_str()), (0, "starter@1"));
    assert_eq!(fleet.assign().await, 1);
    let Some(Event::Desired(assigned)) = next(&mut stream).await else { panic!("no new state") };
    assert_eq!(assigned.bundles, ["starter@1"]);
    let version = fleet.publish().await.unwrap();
    let Some(Event::Desired(published)) = next(&mut stream).await else { panic!("no new state") };
    assert_eq!(published.targets_version, version);
    let recall = Some(fleet.recall(&fleet.keys.recall));
    let told =
        fleet.admin().await.submit_recall(SubmitRecallRequest { recall: recall.clone() }).await.unwrap();
    assert_eq!(told.into_inner().nodes_told, 1);
    let Some(Event::Recalled(heard)) = next(&mut stream).await else { panic!("no recall") };
    assert_eq!(heard.recall, recall);
    drop(stream);
    let Some(Event::Desired(last)) = next(&mut node.watch().await).await else { panic!("no state") };
    assert_eq!((last.bundles.len(), last.recalls.len()), (0, 1));
}

#[tokio::test]
async fn p3_a_recall_that_no_listed_key_signed_is_refused() {
    let fleet = Fleet::start().await;
    let recall = Some(fleet.recall(&SigningKey::generate().unwrap()));
    let refused = fleet.admin().await.submit_recall(SubmitRecallRequest { recall }).await;
    assert_eq!(code(refused), "E-TRUST-FORGED");
    // Nor may the controller's own lease key sign one.
    let recall = Some(fleet.recall(&fleet.running().app.lease_key));
    let refused = fleet.admin().await.submit_recall(SubmitRecallRequest { recall }).await;
    assert_eq!(code(refused), "E-TRUST-FORGED");
}

#[tokio::test]
async fn p10_an_owner_leaves_with_the_nodes_own_signature_only() {
    let fleet = Fleet::start().await;
    let mut node = fleet.enroll(1).await;
    let other = fleet.enroll(2).await;
    let payload =
        serde_json::to_vec(&json!({"node": node.id, "at": croft_controller::clock::now()})).unwrap();
    let forged = other.key.sign(Domain::Farewell, payload.clone());
    let request = LeaveRequest { farewell: Some(forged.into()) };
    assert_eq!(code(node.client.leave(request).await), "E-EVIDENCE-INVALID");
    let farewell = node.key.sign(Domain::Farewell, payload);
    let mut stream = node.watch().await;
    assert!(matches!(next(&mut stream).await, Some(Event::Desired(_))));
    node.client.leave(LeaveRequest { farewell: Some(farewell.into()) }).await.unwrap();
    assert!(matches!(next(&mut stream).await, Some(Event::Revoked(_))));
    assert!(next(&mut stream).await.is_none());
    assert_eq!(code(node.client.challenge(ChallengeRequest::default()).await), "E-NODE-REVOKED");
    // Who left comes back with an invite, not by an admin's word.
    let refused = fleet.admin().await.set_node_standing(standing(node.id, "active")).await;
    assert_eq!(code(refused), "E-NOT-FOUND");
}
