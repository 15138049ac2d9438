//! Attacks on leases across an air gap: a real repository with real keys, and a node certified by a CA made here.

use std::path::PathBuf;

use croft_domain::fleet::Fleet;
use croft_domain::id::FleetId;
use croft_link::pin::spki_pin;
use croft_trust::sign::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};

use super::*;
use crate::client::point;
use crate::command::init::{make_keys, sign_first};
use crate::fleet_dir::Settings;

const FLEET: FleetId = FleetId([2; 16]);
const NODE: NodeId = NodeId([7; 16]);

/// A desk with a fleet whose group `dev` must have an encrypted home, and the node that it certified.
struct Desk {
    temp: tempfile::TempDir,
    dir: FleetDir,
    authority: CertifiedIssuer<'static, KeyPair>,
    key: SigningKey,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A chain as a controller writes it, for `node` and its key; it expired long ago.
fn chain(authority: &CertifiedIssuer<'static, KeyPair>, node: NodeId, key: &SigningKey) -> String {
    let mut params = CertificateParams::default();
    let uri = format!("spiffe://{FLEET}/node/{node}").try_into().expect("a URI");
    params.subject_alt_names = vec![SanType::URI(uri)];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(2026, 1, 8);
    let pair = KeyPair::try_from(key.pkcs8()).expect("a key pair");
    let leaf = params.signed_by(&pair, authority).expect("a certificate");
    format!("{}{}", leaf.pem(), authority.pem())
}

impl Desk {
    fn new() -> Self {
        let temp = tempfile::tempdir().expect("a folder");
        let dir = FleetDir::locate(Some(temp.path().join("fleet"))).expect("a fleet folder");
        dir.prepare().expect("a new folder");
        make_keys(&dir, &[KeyName::Root], None).expect("keys");
        SigningKey::generate()
            .and_then(|key| dir.keys().save(KeyName::Lease.name(), &key, None))
            .expect("a lease key");
        let authority = authority();
        let pin = spki_pin(authority.der()).expect("a pin");
        let text = format!(
            r#"{{"schema":1,"id":"{FLEET}","name":"test","epoch":1,"ca_pins":["{pin}"],"lease_keys":[],
            "recall_keys":[],"reviewer_keys":[],"groups":{{"dev":{{"tier":2,"baseline":{{"name":"internal","version":1}},
            "bundles":{{}}}}}},"licenses":[]}}"#
        );
        let fleet: Fleet = serde_json::from_str(&text).expect("a fleet");
        sign_first(&dir, &fleet, 1, now()).expect("signed");
        dir.save_settings(&Settings {
            controller: "https://127.0.0.1:7443".to_owned(),
            ca_pin: pin,
            fleet: FLEET,
        })
        .expect("saved");
        let mut workbench = Workbench::open(&dir).expect("a workbench");
        let baseline = r#"{"kind":"Baseline","name":"internal","version":1,"tier":2,"lease_ttl_s":604800,
            "checks":{"disk-encryption":{"mode":"block","paths":["home"]}}}"#;
        workbench.set_baseline(&serde_json::from_str(baseline).expect("a baseline")).expect("added");
        workbench.sign(now()).expect("signed");
        drop(workbench);
        Self { temp, dir, authority, key: SigningKey::generate().expect("a key") }
    }

    fn evidence(&self, counter: u64, state: &str) -> Evidence {
        let nonce = croft_domain::airgap::EXPORT_NONCE_PREFIX;
        let text = format!(
            r#"{{"version":1,"node":"{NODE}","nonce":"{nonce}00","counter":{counter},"boot_id":"b","taken_at":{},
            "mode":"user","ownership":"personal","platform":{{"os":"linux","arch":"x86_64","kernel":"6"}},
            "agent_version":"0.1.0","trust":{{"root":1,"targets":1,"snapshot":1,"timestamp":1}},
            "facts":[{{"check":"disk-encryption","subject":"home","observation":{{"kind":"disk","state":"{state}"}},
            "method":"statx+sysfs","confidence":"uuid"}}],"bundles":[],"recalls":[],"census":[],"usage":[]}}"#,
            now().0
        );
        serde_json::from_str(&text).expect("evidence")
    }

    /// Writes what `croft evidence export` would, with this chain.
    fn export(&self, evidence: &Evidence, chain_pem: String) -> PathBuf {
        let payload = serde_json::to_vec(evidence).expect("JSON");
        let file = EvidenceFile {
            kind: croft_trust::carried::EvidenceKind::Evidence,
            evidence: self.key.sign(Domain::Evidence, payload).into(),
            certificate_chain_pem: chain_pem,
        };
        self.write(&serde_json::to_string(&file).expect("JSON"))
    }

    fn write(&self, text: &str) -> PathBuf {
        let path = self.temp.path().join("evidence.json");
        std::fs::write(&path, text).expect("written");
        path
    }

    fn issue(&self, file: &Path, group: Option<&str>) -> Result<Lease, CtlError> {
        let out = self.temp.path().join("lease.json");
        let group: Option<GroupName> = group.map(|name| name.parse().expect("a name"));
        issue(&self.dir, file, group.as_ref(), &out)?;
        let file: LeaseFile = serde_json::from_slice(&std::fs::read(out).expect("a file")).expect("a lease");
        let lease_point = point(&self.dir, KeyName::Lease).expect("readable").expect("a key");
        let envelope = Envelope::try_from(file.lease).expect("an envelope");
        verify(&envelope, Domain::Lease, &lease_point).expect("signed by the offline key");
        Ok(serde_json::from_slice(&envelope.payload).expect("a lease"))
    }

    fn chain(&self) -> String {
        chain(&self.authority, NODE, &self.key)
    }
}

#[track_caller]
fn refused(result: Result<Lease, CtlError>, code: croft_domain::code::Code, says: &str) {
    let error = result.expect_err(says);
    assert!(error.code() == code && error.to_string().contains(says), "{error}");
}

#[test]
fn p4_a_lease_across_the_gap_is_bound_like_any_other() {
    let desk = Desk::new();
    let evidence = desk.evidence(3, "encrypted");
    let file = desk.export(&evidence, desk.chain());
    let lease = desk.issue(&file, Some("dev")).expect("a lease");
    assert_eq!((lease.node, lease.node_key), (NODE, desk.key.key_id()));
    assert_eq!(lease.evidence, sha256(&serde_json::to_vec(&evidence).expect("JSON")));
    assert_eq!(lease.baseline.to_string(), "internal@1");
    assert!(lease.expires_at <= evidence.taken_at.plus(croft_domain::limits::LEASE_TTL_MAX_S));
    // The group is remembered, and the ledger goes on.
    let file = desk.export(&desk.evidence(4, "encrypted"), desk.chain());
    desk.issue(&file, None).expect("another lease");
    assert_eq!(Ledger::open(&desk.dir, NODE).expect("a ledger").entries.len(), 2);
}

#[test]
fn p4_replayed_stale_or_foreign_evidence_brings_no_lease() {
    use croft_domain::code::Code;
    let desk = Desk::new();
    let file = desk.export(&desk.evidence(3, "encrypted"), desk.chain());
    refused(desk.issue(&file, None), Code::Input, "has not judged before");
    desk.issue(&file, Some("dev")).expect("a lease");
    refused(desk.issue(&file, Some("dev")), Code::EvidenceInvalid, "does not rise");
    let mut old = desk.evidence(9, "encrypted");
    old.taken_at = now().minus(croft_domain::airgap::EXPORT_AGE_MAX_S + 60);
    refused(desk.issue(&desk.export(&old, desk.chain()), None), Code::EvidenceInvalid, "three days");
    let mut online = desk.evidence(9, "encrypted");
    online.nonce = "00".repeat(32);
    refused(desk.issue(&desk.export(&online, desk.chain()), None), Code::EvidenceInvalid, "for a controller");
    let other = chain(&desk.authority, NodeId([8; 16]), &desk.key);
    let stolen = desk.export(&desk.evidence(9, "encrypted"), other);
    refused(desk.issue(&stolen, Some("dev")), Code::EvidenceInvalid, "another node");
    let other = chain(&desk.authority, NODE, &SigningKey::generate().expect("a key"));
    let unsigned = desk.export(&desk.evidence(9, "encrypted"), other);
    refused(desk.issue(&unsigned, Some("dev")), Code::EvidenceInvalid, "not signed by this node");
    let stranger = desk.export(&desk.evidence(9, "encrypted"), chain(&authority(), NODE, &desk.key));
    refused(desk.issue(&stranger, Some("dev")), Code::EvidenceInvalid, "pins");
    let text = std::fs::read_to_string(desk.export(&desk.evidence(9, "plain"), desk.chain())).expect("text");
    let edited = desk.write(&text.replace(r#"\"plain\""#, r#"\"encrypted\""#));
    refused(desk.issue(&edited, Some("dev")), Code::EvidenceInvalid, "not signed by this node");
    refused(desk.issue(&desk.write("{}"), Some("dev")), Code::EvidenceInvalid, "no exported evidence");
}

#[test]
fn p4_a_blocking_verdict_is_kept_and_brings_no_lease() {
    let desk = Desk::new();
    let file = desk.export(&desk.evidence(3, "plain"), desk.chain());
    refused(desk.issue(&file, Some("dev")), croft_domain::code::Code::NotCompliant, "home is not encrypted");
    let ledger = Ledger::open(&desk.dir, NODE).expect("a ledger");
    assert!(matches!(ledger.entries.as_slice(), [entry] if entry.lease.is_none()));
    assert!(!desk.temp.path().join("lease.json").exists());
}

#[test]
fn p7_a_ledger_that_was_edited_or_cut_is_not_gone_on_with() {
    let desk = Desk::new();
    for counter in 1..=3 {
        let file = desk.export(&desk.evidence(counter, "encrypted"), desk.chain());
        desk.issue(&file, Some("dev")).expect("a lease");
    }
    let entry = |number: u32| desk.dir.leases().join(NODE.to_string()).join(format!("{number:06}.json"));
    let whole = std::fs::read_to_string(entry(2)).expect("text");
    std::fs::write(entry(2), whole.replace("self-reported", "measured")).expect("written");
    assert!(matches!(Ledger::open(&desk.dir, NODE), Err(CtlError::FileParse { .. })));
    std::fs::remove_file(entry(2)).expect("removed");
    assert!(matches!(Ledger::open(&desk.dir, NODE), Err(CtlError::FileParse { .. })));
    std::fs::write(entry(2), whole).expect("written");
    assert_eq!(Ledger::open(&desk.dir, NODE).expect("whole again").entries.len(), 3);
}
