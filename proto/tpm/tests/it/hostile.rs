//! A TPM, or something in its place, that answers whatever it likes.

use croft_tpm::attest::{Statement, signature};
use croft_tpm::client::{Hierarchy, Tpm};
use croft_tpm::error::TpmError;
use croft_tpm::limits::MESSAGE_LEN_MAX;
use croft_tpm::public::Public;
use croft_tpm::transport::Transport;
use croft_tpm::{event_log, template};
use proptest::collection::vec;
use proptest::prelude::*;

/// Gives one answer to everything.
struct Parrot(Vec<u8>);

impl Transport for Parrot {
    fn exchange(&mut self, _command: &[u8]) -> std::io::Result<Vec<u8>> {
        Ok(self.0.clone())
    }
}

fn ask(answer: Vec<u8>) -> TpmError {
    let mut tpm = Tpm::over(Box::new(Parrot(answer)));
    tpm.create_primary(Hierarchy::Owner, &template::storage_root()).expect_err("no answer")
}

/// An answer with a right head, of which `len` says something else.
fn answer(tag: u16, len: u32, body: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &len.to_be_bytes(), &[0; 4], body].concat()
}

#[test]
fn answers_that_lie_about_their_length_or_kind_are_refused() {
    let is_malformed = |bytes: Vec<u8>| matches!(ask(bytes), TpmError::Malformed { .. });
    assert!(is_malformed(Vec::new()));
    assert!(is_malformed(answer(0x8002, 11, &[])));
    assert!(is_malformed(answer(0x8002, u32::MAX, &[0; 8])));
    assert!(is_malformed(answer(0x8001, 10, &[])), "another command's tag");
    assert!(
        is_malformed(answer(0x8002, 18, &[0x80, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF])),
        "parameters beyond it"
    );
    assert!(is_malformed(answer(0x8002, 20, &[0x80, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFF])), "a buffer beyond it");
    let long = vec![0; MESSAGE_LEN_MAX];
    let len = u32::try_from(MESSAGE_LEN_MAX + 10).unwrap();
    assert!(is_malformed(answer(0x8002, len, &long)), "oversize");
}

#[test]
fn a_tpm_that_is_busy_for_ever_is_given_up() {
    let busy = [&[0x80, 0x01][..], &10_u32.to_be_bytes(), &0x922_u32.to_be_bytes()].concat();
    assert!(matches!(ask(busy), TpmError::Refused { code: 0x922, .. }));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in vec(any::<u8>(), 0..600)) {
        let _ = Public::parse("a key", &bytes);
        let _ = Statement::parse("a statement", &bytes);
        let _ = signature("a statement", &bytes);
        let _ = event_log::read(&bytes, &[0, 7]);
        let _ = ask(answer(0x8002, u32::try_from(bytes.len() + 10).unwrap(), &bytes));
    }

    #[test]
    fn a_public_area_with_one_byte_changed_has_another_name_or_is_none(at in 0_usize..300, by in 1_u8..) {
        let good = [template::identity(), vec![]].concat();
        let good = [&good[..good.len() - 4], &[0, 32], &[1; 32], &[0, 32], &[2; 32]].concat();
        let name = *Public::parse("a key", &good).unwrap().name();
        let mut changed = good;
        let at = at % changed.len();
        changed[at] ^= by;
        prop_assert!(Public::parse("a key", &changed).map_or(true, |key| *key.name() != name));
    }
}
