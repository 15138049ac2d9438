//! Publishing, uploading, downloading, reporting, and what survives a restart.

use croft_domain::digest::Sha256Digest;
use croft_link::fetch::HttpsClient;
use croft_link::tls::client_config;
use croft_proto::grpc::*;
use croft_trust::digest::sha256;

use crate::fleet::{BLOB, Fleet, code, url};

fn parts(digest: Sha256Digest, bytes: &[u8], from: usize) -> Vec<UploadBlobRequest> {
    bytes[from..]
        .chunks(16)
        .enumerate()
        .map(|(index, data)| UploadBlobRequest {
            sha256: digest.0.to_vec(),
            len_bytes: bytes.len() as u64,
            offset: (from + index * 16) as u64,
            data: data.to_vec(),
        })
        .collect()
}

fn https(fleet: &Fleet) -> HttpsClient {
    HttpsClient::new(&url(fleet.running()), &client_config(&[fleet.pin()], None).unwrap()).unwrap()
}

#[tokio::test]
async fn p2_a_corrupt_upload_is_refused_and_can_be_done_again() {
    let fleet = Fleet::start().await;
    let mut admin = fleet.admin().await;
    let mut wrong = BLOB.to_vec();
    wrong[40] ^= 1;
    let digest = sha256(BLOB);
    let corrupt = admin.upload_blob(tokio_stream::iter(parts(digest, &wrong, 0))).await;
    assert_eq!(code(corrupt), "E-BLOB-CORRUPT");
    let query = QueryBlobRequest { sha256: digest.0.to_vec() };
    assert_eq!(admin.query_blob(query.clone()).await.unwrap().into_inner().received, 0);
    // Half of it, then the rest: what was acknowledged is not sent twice.
    let half = parts(digest, BLOB, 0)[..2].to_vec();
    let answer = admin.upload_blob(tokio_stream::iter(half)).await.unwrap().into_inner();
    assert_eq!((answer.received, answer.complete), (32, false));
    assert_eq!(admin.query_blob(query).await.unwrap().into_inner().received, 32);
    let again = admin.upload_blob(tokio_stream::iter(parts(digest, BLOB, 0))).await;
    assert_eq!(code(again), "E-CONFLICT");
    let rest = admin.upload_blob(tokio_stream::iter(parts(digest, BLOB, 32))).await.unwrap().into_inner();
    assert_eq!((rest.received, rest.complete), (BLOB.len() as u64, true));
    assert!(admin.list_bundles(ListBundlesRequest {}).await.unwrap().into_inner().bundles[0].blobs_complete);
}

#[tokio::test]
async fn blobs_and_metadata_are_fetched_without_a_certificate_and_by_range() {
    let fleet = Fleet::start().await;
    let digest = sha256(BLOB);
    fleet.admin().await.upload_blob(tokio_stream::iter(parts(digest, BLOB, 0))).await.unwrap();
    let client = https(&fleet);
    let path = format!("/blobs/sha256/{}", digest.hex());
    assert_eq!(client.get(&path, None, 1000).await.unwrap(), BLOB);
    assert_eq!(client.get(&path, Some(5..20), 1000).await.unwrap(), BLOB[5..20]);
    for file in fleet.set().metadata.into_iter().chain(fleet.set().targets) {
        let served = client.get(&format!("/trust/{}", file.name), None, 1 << 20).await.unwrap();
        assert_eq!(served, file.content, "{}", file.name);
    }
    for missing in
        ["/trust/9.root.json", "/trust/..%2Fcontroller.json", "/blobs/sha256/..%2F..%2Fkeys", "/keys/ca.pk8"]
    {
        assert!(client.get(missing, None, 1 << 20).await.is_err(), "{missing}");
    }
}

#[tokio::test]
async fn p3_a_set_that_is_forged_rolled_back_or_anothers_changes_nothing() {
    let mut fleet = Fleet::start().await;
    let first = fleet.set();
    let version = fleet.publish().await.unwrap();
    let mut admin = fleet.admin().await;
    assert_eq!(code(admin.publish_trust(first).await), "E-TRUST-ROLLBACK");
    fleet.sign();
    let mut forged = fleet.set();
    let targets = forged.metadata.iter_mut().find(|file| file.name.ends_with("targets.json")).unwrap();
    targets.content.push(b' ');
    let refused = code(admin.publish_trust(forged).await);
    assert!(refused.starts_with("E-TRUST-"), "{refused}");
    let mut missing = fleet.set();
    missing.targets.pop();
    assert!(admin.publish_trust(missing).await.is_err());
    assert_eq!(code(admin.publish_trust(PublishTrustRequest::default()).await), "E-INPUT");
    let present = fleet.running().app.mirror.current().unwrap().view.versions.targets;
    assert_eq!(present, version);
}

#[tokio::test]
async fn a_fleet_document_that_would_strand_the_nodes_is_refused() {
    let mut fleet = Fleet::start_bare().await;
    let good = fleet.document.clone();
    fleet.document.lease_keys.clear();
    fleet.set_targets();
    assert_eq!(code(fleet.publish().await), "E-INPUT");
    fleet.document = good.clone();
    fleet.document.id = croft_domain::id::FleetId([1; 16]);
    fleet.set_targets();
    assert_eq!(code(fleet.publish().await), "E-INPUT");
    assert!(fleet.running().app.mirror.current().is_none());
    fleet.document = good;
    fleet.set_targets();
    fleet.publish().await.unwrap();
}

#[tokio::test]
async fn p9_a_first_publish_that_was_cut_off_can_be_done_again() {
    let mut fleet = Fleet::start_bare().await;
    fleet.set_targets();
    fleet.publish().await.unwrap();
    let state = fleet.state().to_owned();
    let floors = state.join("floors/trust.json");
    let believed = std::fs::read_to_string(&floors).unwrap();
    std::fs::remove_dir_all(state.join("trust")).unwrap();
    // What was believed before and is gone is an alarm: the controller does not start.
    assert!(fleet.try_restart().await.is_err());
    let mut unfinished: serde_json::Value = serde_json::from_str(&believed).unwrap();
    unfinished["floors"]["versions"]["timestamp"] = 0.into();
    std::fs::write(&floors, unfinished.to_string()).unwrap();
    fleet.try_restart().await.unwrap();
    fleet.publish().await.unwrap();
}

#[tokio::test]
async fn only_what_the_signed_state_allows_is_assigned() {
    let fleet = Fleet::start().await;
    let mut admin = fleet.admin().await;
    let request = |group: &str, bundle: &str| SetAssignmentRequest {
        group: group.to_owned(),
        bundle: bundle.to_owned(),
        assigned: true,
    };
    assert_eq!(code(admin.set_assignment(request("ops", "starter@1")).await), "E-NOT-FOUND");
    assert_eq!(code(admin.set_assignment(request("dev", "starter@2")).await), "E-NOT-FOUND");
    assert_eq!(code(admin.set_assignment(request("dev", "starter")).await), "E-INPUT");
}

#[tokio::test]
async fn p9_a_restart_keeps_everything_that_was_acknowledged() {
    let mut fleet = Fleet::start().await;
    fleet.assign().await;
    let digest = sha256(BLOB);
    fleet.admin().await.upload_blob(tokio_stream::iter(parts(digest, BLOB, 0))).await.unwrap();
    let mut node = fleet.enroll(1).await;
    let head = node.attest_well(1).await.chain_head;
    let recall = Some(fleet.recall(&fleet.keys.recall));
    fleet.admin().await.submit_recall(SubmitRecallRequest { recall }).await.unwrap();
    let report = fleet.admin().await.create_report(CreateReportRequest {}).await.unwrap().into_inner();
    let stream = node.watch().await;
    fleet.restart().await;
    drop(stream);
    node.client = fleet.node_client(&node.key, &node.chain).await;
    assert_eq!(node.challenge().await.chain_head, head);
    node.attest_well(2).await;
    let mut admin = fleet.admin().await;
    assert_eq!(admin.list_recalls(ListRecallsRequest {}).await.unwrap().into_inner().recalls.len(), 1);
    let bundles = admin.list_bundles(ListBundlesRequest {}).await.unwrap().into_inner().bundles;
    assert!(bundles[0].blobs_complete && bundles[0].recalled && bundles[0].groups == ["dev"]);
    let request = GetReportRequest { report_id: report.report_id, format: "html".to_owned() };
    let html = String::from_utf8(admin.get_report(request).await.unwrap().into_inner().content).unwrap();
    assert!(html.contains("it leaks") && html.contains(&node.id.to_string()) && html.contains("<svg"));
    let newest = GetReportRequest { report_id: Vec::new(), format: "json".to_owned() };
    let json = admin.get_report(newest).await.unwrap().into_inner().content;
    let parsed: croft_domain::report::Report = serde_json::from_slice(&json).unwrap();
    assert_eq!((parsed.standing.pass, parsed.nodes.len()), (1, 1));
    let set = admin.fetch_trust(FetchTrustRequest {}).await.unwrap().into_inner();
    assert_eq!((set.metadata.len(), set.targets.len()), (4, 4));
}
