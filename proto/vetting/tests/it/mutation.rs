//! Arbitrary bytes and arbitrary damage: the lint must end, with a bounded report, and never panic.

use croft_vetting::format::vet;
use croft_vetting::gguf::Depth;
use croft_vetting::limits::FINDINGS_MAX;
use croft_vetting::report::Verdict;
use proptest::prelude::*;

use crate::builder::{Gguf, lint_bytes};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn p2_arbitrary_bytes_never_panic_and_never_pass(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
        let with_magic = [&b"GGUF\x03\0\0\0"[..], &bytes].concat();
        prop_assert_ne!(lint_bytes(&with_magic).verdict, Verdict::Pass);
        prop_assert_ne!(vet(&bytes[..], bytes.len() as u64, Depth::Padding).verdict, Verdict::Pass);
    }

    #[test]
    fn p2_arbitrary_damage_never_panics(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let mut bytes = Gguf::valid().bytes();
        for (index, value) in damage {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if cuts {
            bytes.truncate(cut.index(bytes.len()));
        }
        prop_assert!(lint_bytes(&bytes).findings.len() <= FINDINGS_MAX);
    }

    #[test]
    fn p2_huge_numbers_anywhere_never_panic(at in any::<prop::sample::Index>(), shift in 0_u32..64) {
        let mut bytes = Gguf::valid().bytes();
        let at = at.index(bytes.len() - 8);
        bytes[at..at + 8].copy_from_slice(&(u64::MAX >> shift).to_le_bytes());
        lint_bytes(&bytes);
        lint_bytes(bytes.get(..).unwrap_or_default());
        croft_vetting::gguf::lint_gguf(&bytes[..], u64::MAX);
    }
}
