//! Signatures and key files.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_trust::sign::{KeyError, SignError, SigningKey, verify, verify_listed};

use crate::fleet::key;

const ALL: [Domain; 9] = [
    Domain::Evidence,
    Domain::Receipt,
    Domain::Renewal,
    Domain::Farewell,
    Domain::Lease,
    Domain::Recall,
    Domain::Review,
    Domain::Consent,
    Domain::Checkpoint,
];

#[test]
fn p3_signature_of_one_kind_is_not_shown_as_another() {
    let key = key();
    for made in ALL {
        let envelope = key.sign(made, *b"{}");
        for shown in ALL {
            assert_eq!(
                verify(&envelope, shown, &key.point()).is_ok(),
                made == shown,
                "{made:?} as {shown:?}"
            );
        }
    }
}

#[test]
fn p7_one_changed_bit_breaks_the_signature() {
    let key = key();
    let envelope = key.sign(Domain::Lease, *b"serve until noon");
    verify(&envelope, Domain::Lease, &key.point()).expect("holds");
    for byte in 0..envelope.payload.len() {
        let mut changed = envelope.clone();
        changed.payload[byte] ^= 1;
        assert_eq!(verify(&changed, Domain::Lease, &key.point()), Err(SignError::Invalid));
    }
    for bad in [Vec::new(), vec![0; 72], envelope.signature[..8].to_vec()] {
        let changed = Envelope { signature: bad, ..envelope.clone() };
        assert_eq!(verify(&changed, Domain::Lease, &key.point()), Err(SignError::Invalid));
    }
    assert!(verify(&envelope, Domain::Lease, &[4; 65]).is_err());
    assert!(verify(&envelope, Domain::Lease, &[]).is_err());
}

#[test]
fn p3_only_listed_keys_count_and_only_in_their_time() {
    let (listed, stranger) = (key(), key());
    let entries = [listed.entry(Timestamp(10), Timestamp(20))];
    let envelope = listed.sign(Domain::Recall, *b"stop");
    for (at, good) in [(9, false), (10, true), (19, true), (20, false)] {
        assert_eq!(verify_listed(&envelope, Domain::Recall, &entries, Timestamp(at)).is_ok(), good, "{at}");
    }
    let foreign = stranger.sign(Domain::Recall, *b"stop");
    let refused = verify_listed(&foreign, Domain::Recall, &entries, Timestamp(15));
    assert_eq!(refused, Err(SignError::KeyUnknown(stranger.key_id())));
    // The key id is a hint, never a proof.
    let claimed = Envelope { key_id: listed.key_id(), ..foreign };
    assert_eq!(verify_listed(&claimed, Domain::Recall, &entries, Timestamp(15)), Err(SignError::Invalid));
    let renewed = [entries[0].clone(), listed.entry(Timestamp(20), Timestamp(30))];
    assert!(verify_listed(&envelope, Domain::Recall, &renewed, Timestamp(25)).is_ok());
}

#[test]
fn world_readable_key_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("targets.pk8");
    let made = key();
    made.save(&path).expect("saved");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    assert_eq!(SigningKey::load(&path).expect("loaded").key_id(), made.key_id());
    for mode in [0o604, 0o640, 0o602, 0o620, 0o644] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("set");
        assert!(matches!(SigningKey::load(&path), Err(KeyError::Exposed { .. })), "{mode:o}");
    }
}

#[test]
fn damaged_or_missing_key_file_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("k.pk8");
    assert!(matches!(SigningKey::load(&path), Err(KeyError::Read { .. })));
    key().save(&path).expect("saved");
    let whole = fs::read(&path).expect("read");
    fs::write(&path, &whole[..whole.len() - 1]).expect("truncated");
    assert!(matches!(SigningKey::load(&path), Err(KeyError::MalformedFile { .. })));
}

#[test]
fn p6_debug_shows_no_key() {
    let key = key();
    let shown = format!("{key:?}");
    assert!(shown.contains("sha256:") && shown.len() < 120, "{shown}");
}
