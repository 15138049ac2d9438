//! What is shown: each answer of the daemon taken apart field by field, as data for `-o json` and as text for people.
//!
//! Rendering is pure: time is an argument, and every text from elsewhere is made printable first.

pub mod asked;
pub mod consent;
pub mod fix;
pub mod import;
pub mod models;
pub mod preview;
pub mod privacy;
pub mod status;
pub mod why;

use croft_domain::code::Code;

/// The hint that belongs to a code in text form, if we know it.
fn hint_of(code: &str) -> Option<&'static str> {
    Code::ALL.iter().find(|known| known.as_str() == code).map(|known| known.hint())
}

/// Bytes for people: 1.5 GB, 20.0 MB, 812 bytes.
fn size(len_bytes: u64) -> String {
    // Tenths of a unit, so that no float is needed.
    let tenths = |unit: u64| {
        let tenths = u128::from(len_bytes) * 10 / u128::from(unit);
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match len_bytes {
        0..1_000 => format!("{len_bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", tenths(1_000)),
        1_000_000..1_000_000_000 => format!("{} MB", tenths(1_000_000)),
        _ => format!("{} GB", tenths(1_000_000_000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_at_their_borders() {
        let cases = [(0, "0 bytes"), (999, "999 bytes"), (1_000, "1.0 kB"), (2_332_960, "2.3 MB")];
        for (len, text) in cases {
            assert_eq!(size(len), text);
        }
        assert_eq!(size(u64::MAX), "18446744073.7 GB");
    }
}
