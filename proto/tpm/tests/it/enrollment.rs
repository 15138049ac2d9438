//! That a key is in a TPM: what an honest one shows, and everything that must not pass for it.

use std::time::SystemTime;

use croft_tpm::client::Signed;
use croft_tpm::error::{ProofError, TpmError};
use croft_tpm::key::TpmKey;
use croft_tpm::manufacturer::Claim;
use croft_tpm::proof::{attestation_key, certification_nonce, certified};
use croft_tpm::public::Public;
use croft_tpm::{credential, manufacturer};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use crate::swtpm::{Maker, Swtpm};

const FLEET: [u8; 32] = [7; 32];
const SECRET: [u8; 32] = [42; 32];

/// What a node shows at enrollment.
struct Shown {
    attestation: Public,
    identity: Vec<u8>,
    signed: Signed,
    opened: Vec<u8>,
}

/// The whole exchange with an honest verifier.
fn enroll(key: &TpmKey) -> Shown {
    let endorsement = key.endorsement().unwrap();
    let endorsement = Public::parse("the endorsement key", &endorsement.public).unwrap();
    let attestation = attestation_key(&key.attestation(&FLEET).unwrap()).unwrap();
    let sealed = credential::make(&endorsement, attestation.name(), &SECRET).unwrap();
    let opened = key.activate(&FLEET, &sealed.blob, &sealed.secret).unwrap();
    let signed = key.certify(&FLEET, &certification_nonce(&opened)).unwrap();
    Shown { attestation, identity: key.public().to_vec(), signed, opened }
}

#[test]
fn a_tpm_with_either_endorsement_key_shows_that_the_identity_key_is_in_it() {
    for maker in [Maker::Known, Maker::None] {
        let tpm = Swtpm::start(maker);
        let key = TpmKey::create(&tpm.socket()).unwrap();
        let shown = enroll(&key);
        assert_eq!(shown.opened, SECRET);
        let point =
            certified(&shown.attestation, &shown.identity, &shown.signed, &certification_nonce(&SECRET));
        assert_eq!(point, Ok(key.point()));
        let signature = key.sign(b"a message").unwrap();
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.point());
        assert!(public.verify(b"a message", &signature).is_ok());
    }
}

#[test]
fn p4_a_credential_for_another_tpm_or_another_attestation_key_does_not_open() {
    let (tpm, other) = (Swtpm::start(Maker::None), Swtpm::start(Maker::None));
    let (key, foreign) = (TpmKey::create(&tpm.socket()).unwrap(), TpmKey::create(&other.socket()).unwrap());
    let endorsement = Public::parse("", &key.endorsement().unwrap().public).unwrap();
    let own = attestation_key(&key.attestation(&FLEET).unwrap()).unwrap();
    let theirs = attestation_key(&foreign.attestation(&FLEET).unwrap()).unwrap();
    // Made for this TPM, but for an attestation key that is in the other one.
    let sealed = credential::make(&endorsement, theirs.name(), &SECRET).unwrap();
    assert!(matches!(key.activate(&FLEET, &sealed.blob, &sealed.secret), Err(TpmError::Refused { .. })));
    assert!(matches!(foreign.activate(&FLEET, &sealed.blob, &sealed.secret), Err(TpmError::Refused { .. })));
    // Made for this TPM and its key, and carried to the other one.
    let sealed = credential::make(&endorsement, own.name(), &SECRET).unwrap();
    assert!(matches!(foreign.activate(&FLEET, &sealed.blob, &sealed.secret), Err(TpmError::Refused { .. })));
    // One bit changed on the way.
    let mut changed = sealed.blob.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert!(matches!(key.activate(&FLEET, &changed, &sealed.secret), Err(TpmError::Refused { .. })));
    assert_eq!(key.activate(&FLEET, &sealed.blob, &sealed.secret).unwrap(), SECRET);
}

#[test]
fn p4_an_identity_key_that_the_attestation_key_did_not_certify_is_refused() {
    let tpm = Swtpm::start(Maker::None);
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let shown = enroll(&key);
    drop(key);
    let other = TpmKey::create(&tpm.socket()).unwrap();
    let nonce = certification_nonce(&SECRET);
    assert_eq!(
        certified(&shown.attestation, other.public(), &shown.signed, &nonce),
        Err(ProofError::OtherKey)
    );
    // A key with other attributes: one that could have been made outside and imported.
    let mut imported = shown.identity.clone();
    imported[7] &= !0x20;
    assert!(matches!(
        certified(&shown.attestation, &imported, &shown.signed, &nonce),
        Err(ProofError::Kind { .. })
    ));
}

#[test]
fn p4_a_certification_by_another_tpm_or_for_another_challenge_is_refused() {
    let (tpm, other) = (Swtpm::start(Maker::None), Swtpm::start(Maker::None));
    let shown = enroll(&TpmKey::create(&tpm.socket()).unwrap());
    let theirs = enroll(&TpmKey::create(&other.socket()).unwrap());
    let nonce = certification_nonce(&SECRET);
    assert!(matches!(
        certified(&theirs.attestation, &shown.identity, &shown.signed, &nonce),
        Err(ProofError::Signature(_))
    ));
    let earlier = certification_nonce(&[0; 32]);
    assert!(matches!(
        certified(&shown.attestation, &shown.identity, &shown.signed, &earlier),
        Err(ProofError::Nonce(_))
    ));
    let mut changed = shown.signed.clone();
    changed.statement[40] ^= 1;
    assert!(certified(&shown.attestation, &shown.identity, &changed, &nonce).is_err());
}

#[test]
fn p4_a_key_that_signs_anything_is_no_attestation_key() {
    let tpm = Swtpm::start(Maker::None);
    let key = TpmKey::create(&tpm.socket()).unwrap();
    assert!(matches!(attestation_key(key.public()), Err(ProofError::Kind { .. })));
}

#[test]
fn p4_only_a_maker_on_the_list_makes_a_tpm_known() {
    let (tpm, other) = (Swtpm::start(Maker::Known), Swtpm::start(Maker::Known));
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let given = key.endorsement().unwrap();
    let endorsement = Public::parse("", &given.public).unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let claim = Claim { certificate: &given.certificate, intermediates: &[], endorsement: &endorsement };
    let issuer = |list: &[String], at| manufacturer::issuer(claim, list, at);
    let known = manufacturer::authority(&tpm.authority()).unwrap();
    assert_eq!(issuer(&[other.authority(), tpm.authority()], now), Ok(Some(known)));
    assert_eq!(issuer(&[other.authority()], now), Ok(None));
    assert_eq!(issuer(&[], now), Ok(None));
    assert_eq!(issuer(&[tpm.authority()], 0), Ok(None), "not valid yet");
    // Somebody else's good certificate beside one's own key.
    let foreign = TpmKey::create(&other.socket()).unwrap().endorsement().unwrap();
    let stolen = Claim { certificate: &foreign.certificate, ..claim };
    assert!(matches!(manufacturer::issuer(stolen, &[other.authority()], now), Err(ProofError::Kind { .. })));
}

#[test]
fn p4_two_fleets_cannot_tell_by_the_attestation_key_that_a_machine_is_in_both() {
    let tpm = Swtpm::start(Maker::None);
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let first = key.attestation(&FLEET).unwrap();
    assert_eq!(first, key.attestation(&FLEET).unwrap(), "the same at every start");
    assert_ne!(first, key.attestation(&[8; 32]).unwrap());
}

#[test]
fn a_state_that_was_restored_beside_another_tpm_says_so() {
    let (tpm, other) = (Swtpm::start(Maker::None), Swtpm::start(Maker::None));
    let blob = TpmKey::create(&tpm.socket()).unwrap().blob();
    let cloned = TpmKey::from_blob(&other.socket(), &blob).unwrap();
    assert!(matches!(cloned.sign(b"a message"), Err(TpmError::OtherTpm)));
    let own = TpmKey::from_blob(&tpm.socket(), &blob).unwrap();
    assert!(own.sign(b"a message").is_ok());
}

#[test]
fn a_tpm_that_vanishes_is_an_error_and_one_that_comes_back_is_used_again() {
    let tpm = Swtpm::start(Maker::None);
    let key = TpmKey::create(&tpm.socket()).unwrap();
    key.sign(b"before").unwrap();
    tpm.power_off();
    assert!(matches!(key.sign(b"meanwhile"), Err(TpmError::Open { .. })));
    tpm.power_on();
    key.sign(b"after").unwrap();
}

#[test]
fn a_client_that_was_killed_leaves_no_slot_taken() {
    let tpm = Swtpm::start(Maker::None);
    for _ in 0..8 {
        // Its key is still loaded when the connection ends.
        TpmKey::create(&tpm.socket()).unwrap();
    }
}
