//! Quotes bound to evidence, the PCR values beside them, and the log that explains those.

use croft_tpm::error::ProofError;
use croft_tpm::event_log::{self, Event};
use croft_tpm::key::{Quoted, TpmKey};
use croft_tpm::proof::{attestation_key, quote_nonce, quoted};
use croft_tpm::public::POINT_LEN;
use croft_tpm::quote::Quote;

use crate::boot_log::binary;
use crate::swtpm::{Maker, Swtpm};

const FLEET: [u8; 32] = [7; 32];
const PCRS: [u8; 3] = [0, 4, 7];
const EVENTS: [Event; 3] = [
    Event { pcr: 7, kind: 0x8000_0001, sha256: [1; 32] },
    Event { pcr: 0, kind: 8, sha256: [2; 32] },
    Event { pcr: 7, kind: 0x8000_0002, sha256: [3; 32] },
];

/// A TPM into which a boot was measured, and its key.
fn booted() -> (Swtpm, TpmKey, [u8; POINT_LEN]) {
    let tpm = Swtpm::start(Maker::None);
    EVENTS.iter().for_each(|event| tpm.extend(event.pcr, &event.sha256));
    let key = TpmKey::create(&tpm.socket()).unwrap();
    let point = attesting(&key);
    (tpm, key, point)
}

fn attesting(key: &TpmKey) -> [u8; POINT_LEN] {
    *attestation_key(&key.attestation(&FLEET).unwrap()).unwrap().point().unwrap()
}

fn values(quoted: &Quoted) -> Vec<(u8, [u8; 32])> {
    PCRS.into_iter().zip(quoted.values.iter().copied()).collect()
}

#[test]
fn a_quote_is_bound_to_the_challenge_the_evidence_and_the_values() {
    let (_tpm, key, point) = booted();
    let nonce = quote_nonce(b"challenge", b"evidence");
    let quote = key.quote(&FLEET, &nonce, &PCRS).unwrap();
    assert_eq!(quoted(&point, &quote.signed, &nonce, &values(&quote)), Ok(()));
    assert_eq!(quote.values[1], [0; 32], "nothing was measured into PCR 4");
    assert_ne!(quote.values[0], quote.values[2]);
}

#[test]
fn p4_a_quote_for_an_earlier_challenge_or_other_evidence_is_refused() {
    let (_tpm, key, point) = booted();
    let quote = key.quote(&FLEET, &quote_nonce(b"first", b"evidence"), &PCRS).unwrap();
    for (challenge, evidence) in [(&b"second"[..], &b"evidence"[..]), (b"first", b"evidencf")] {
        let nonce = quote_nonce(challenge, evidence);
        assert!(matches!(quoted(&point, &quote.signed, &nonce, &values(&quote)), Err(ProofError::Nonce(_))));
    }
}

#[test]
fn p7_a_quote_that_was_kept_can_be_verified_again_and_one_that_was_changed_cannot() {
    let (_tpm, key, point) = booted();
    let taken = key.quote(&FLEET, &quote_nonce(b"challenge", b"evidence"), &PCRS).unwrap();
    let kept = Quote { values: values(&taken), signed: taken.signed }.to_bytes();
    let read = Quote::from_bytes(&kept).unwrap();
    assert_eq!(read.verify(&point, b"challenge", b"evidence"), Ok(()));
    assert!(read.verify(&point, b"challenge", b"other evidence").is_err());
    for at in 0..kept.len() {
        let mut changed = kept.clone();
        changed[at] ^= 1;
        let holds = Quote::from_bytes(&changed).and_then(|q| q.verify(&point, b"challenge", b"evidence"));
        assert!(holds.is_err(), "byte {at}");
        assert!(
            Quote::from_bytes(&kept[..at]).and_then(|q| q.verify(&point, b"challenge", b"evidence")).is_err()
        );
    }
    assert!(Quote::from_bytes(&[&kept[..], &[0; 33 * 25]].concat()).is_err(), "more PCRs than there are");
}

#[test]
fn p4_a_forged_pcr_value_is_refused() {
    let (_tpm, key, point) = booted();
    let nonce = quote_nonce(b"challenge", b"evidence");
    let quote = key.quote(&FLEET, &nonce, &PCRS).unwrap();
    let good = values(&quote);
    for at in 0..good.len() {
        let mut forged = good.clone();
        forged[at].1[0] ^= 1;
        assert_eq!(quoted(&point, &quote.signed, &nonce, &forged), Err(ProofError::Pcrs));
    }
    // The right values under other numbers, one left out, and one told twice.
    let mut moved = good.clone();
    moved[1].0 = 5;
    let mut twice = good.clone();
    twice.push(good[2]);
    for forged in [moved, good[..2].to_vec(), twice, Vec::new()] {
        assert_eq!(quoted(&point, &quote.signed, &nonce, &forged), Err(ProofError::Pcrs));
    }
    let mut changed = quote.signed.clone();
    let last = changed.statement.len() - 1;
    changed.statement[last] ^= 1;
    assert!(matches!(quoted(&point, &changed, &nonce, &good), Err(ProofError::Signature(_))));
}

#[test]
fn p4_a_quote_by_another_tpm_is_refused_and_so_is_a_certification_in_its_place() {
    let (_tpm, key, point) = booted();
    let (_other, foreign, theirs) = booted();
    let nonce = quote_nonce(b"challenge", b"evidence");
    let quote = foreign.quote(&FLEET, &nonce, &PCRS).unwrap();
    assert_eq!(quoted(&theirs, &quote.signed, &nonce, &values(&quote)), Ok(()));
    assert!(matches!(quoted(&point, &quote.signed, &nonce, &values(&quote)), Err(ProofError::Signature(_))));
    let certification = key.certify(&FLEET, &nonce).unwrap();
    assert!(matches!(quoted(&point, &certification, &nonce, &values(&quote)), Err(ProofError::Kind { .. })));
}

#[test]
fn p4_an_event_log_that_does_not_lead_to_the_quoted_values_is_refused() {
    let (_tpm, key, _) = booted();
    let quote = key.quote(&FLEET, &[0; 32], &PCRS).unwrap();
    let values = values(&quote);
    assert_eq!(event_log::replay(&EVENTS, &values), Ok(()));
    let swapped = [EVENTS[2], EVENTS[1], EVENTS[0]];
    assert_eq!(event_log::replay(&swapped, &values), Err(ProofError::EventLog(7)));
    assert_eq!(event_log::replay(&EVENTS[..2], &values), Err(ProofError::EventLog(7)));
    let added = [&EVENTS[..], &[Event { pcr: 4, kind: 13, sha256: [9; 32] }]].concat();
    assert_eq!(event_log::replay(&added, &values), Err(ProofError::EventLog(4)));
    let outside = [Event { pcr: 200, kind: 8, sha256: [0; 32] }];
    assert_eq!(event_log::replay(&outside, &values), Err(ProofError::EventLog(200)));
    // A PCR is not told to begin where it suits.
    let start = [Event { pcr: 7, kind: 3, sha256: quote.values[2] }];
    assert_eq!(event_log::replay(&start, &values), Err(ProofError::EventLog(7)));
}

#[test]
fn a_log_gives_the_measurements_of_the_asked_pcrs_and_no_words() {
    let beside = Event { pcr: 1, kind: 8, sha256: [4; 32] };
    let log = binary(&[&EVENTS[..], &[beside]].concat());
    assert_eq!(event_log::read(&log, &PCRS), Ok(EVENTS.to_vec()));
    assert_eq!(event_log::read(&log, &[1]), Ok(vec![beside]));
}

#[test]
fn a_log_that_is_cut_or_endless_is_refused() {
    let log = binary(&EVENTS);
    for len in 0..log.len() - 1 {
        if let Ok(read) = event_log::read(&log[..len], &PCRS) {
            assert!(read.len() < EVENTS.len(), "{len}");
        }
    }
    let endless = vec![EVENTS[0]; croft_tpm::limits::EVENTS_MAX + 1];
    assert!(event_log::read(&binary(&endless), &PCRS).is_err());
}

/// No kernel here has a TPM's device: what stands in for one keeps messages apart in the same way, and is swtpm behind.
#[test]
fn over_the_kernels_device_one_write_is_one_command_and_one_read_one_answer() {
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixDatagram;

    use croft_tpm::client::{Hierarchy, Tpm};
    use croft_tpm::{template, transport};

    let tpm = Swtpm::start(Maker::None);
    let (near, far) = UnixDatagram::pair().expect("a pair");
    let mut behind = transport::open(&tpm.socket()).expect("the TPM").transport;
    let kernel = std::thread::spawn(move || {
        let mut message = [0; 8192];
        // As many as are given below.
        for _ in 0..4 {
            let len = far.recv(&mut message).expect("a command");
            let claimed = u32::from_be_bytes(message[2..6].try_into().expect("four bytes"));
            assert_eq!(usize::try_from(claimed).expect("short"), len, "a whole command in one piece");
            let answer = behind.exchange(&message[..len]).expect("an answer");
            far.send(&answer).expect("sent");
        }
    });
    let mut client = Tpm::over(transport::device(std::fs::File::from(OwnedFd::from(near))));
    let attesting =
        client.create_primary(Hierarchy::Endorsement, &template::attestation(&FLEET)).expect("a key");
    let point = *attestation_key(&attesting.public).unwrap().point().unwrap();
    let nonce = quote_nonce(b"challenge", b"evidence");
    let read = client.read_pcrs(&PCRS).expect("values");
    let signed = client.quote(attesting.handle, &nonce, &PCRS).expect("a quote");
    let values: Vec<_> = PCRS.into_iter().zip(read).collect();
    assert_eq!(quoted(&point, &signed, &nonce, &values), Ok(()));
    client.flush(attesting.handle).expect("flushed");
    kernel.join().expect("no panic");
}
