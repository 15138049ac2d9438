//! The one-line invite, as people copy it.

use croft_domain::digest::Sha256Digest;
use croft_domain::id::{FleetId, InviteId};
use croft_domain::invite::Invite;
use croft_domain::time::Timestamp;
use croft_trust::invite_line::{InviteLineError, decode, encode};
use proptest::prelude::*;

fn invite() -> Invite {
    Invite {
        controller: "https://croft.example.org:7443".to_owned(),
        fleet: FleetId([1; 16]),
        fleet_name: "Example".to_owned(),
        ca_pin: Sha256Digest([2; 32]),
        root_sha256: Sha256Digest([3; 32]),
        root_version: 1,
        group: "web".parse().expect("a name"),
        tier: 1,
        epoch_floor: 4,
        targets_floor: 5,
        id: InviteId([6; 16]),
        secret: "07".repeat(32),
        expires_at: Timestamp(8),
    }
}

#[test]
fn line_round_trips_with_and_without_its_command() {
    let line = encode(&invite());
    assert!(line.starts_with("croft1.") && !line.contains(['=', '+', '/', ' ']));
    for pasted in [line.clone(), format!("croft enroll {line}\n"), format!("  {line}  ")] {
        assert!(decode(&pasted) == Ok(invite()));
    }
}

#[test]
fn truncated_line_is_called_truncated() {
    let line = encode(&invite());
    for cut in "croft1.".len()..line.len() {
        assert_eq!(decode(&line[..cut]).err(), Some(InviteLineError::Truncated), "cut at {cut}");
    }
}

#[test]
fn other_text_is_not_ours() {
    for text in ["", "hello", "croft2.abc", "CROFT1.abc", "croft enroll", "eyJhbGciOi"] {
        assert_eq!(decode(text).err(), Some(InviteLineError::NotOurs), "{text}");
    }
}

#[test]
fn oversize_line_is_refused_before_it_is_decoded() {
    assert_eq!(decode(&format!("croft1.{}", "A".repeat(5000))).err(), Some(InviteLineError::TooLong));
}

#[test]
fn unknown_field_is_refused() {
    use base64::Engine as _;
    let mut value = serde_json::to_value(invite()).expect("a value");
    value["surprise"] = 1.into();
    let mut bytes = value.to_string().into_bytes();
    let checksum = croft_trust::digest::sha256(&bytes);
    bytes.extend_from_slice(&checksum.0[..4]);
    let line = format!("croft1.{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(decode(&line).err(), Some(InviteLineError::Unreadable));
}

proptest! {
    #[test]
    fn garbled_line_is_refused(at in 0_usize..400, to in "[A-Za-z0-9_-]") {
        let line = encode(&invite());
        let at = "croft1.".len() + at % (line.len() - "croft1.".len());
        let mut garbled = line.clone();
        garbled.replace_range(at..=at, &to);
        prop_assume!(garbled != line);
        prop_assert!(decode(&garbled).is_err());
    }

    #[test]
    fn anything_at_all_is_answered(text in "(croft1\\.)?.{0,300}") {
        prop_assert!(decode(&text).is_err());
    }

    #[test]
    fn any_invite_comes_back_as_it_was(
        (fleet_name, secret) in ("[^\\p{Cc}]{1,60}", "[0-9a-f]{64}"),
        (tier, epoch_floor, targets_floor, root_version) in (0_u8..=3, any::<u32>(), any::<u64>(), any::<u64>()),
        digest in any::<[u8; 32]>(),
    ) {
        let made = Invite {
            fleet_name,
            secret,
            tier,
            epoch_floor: epoch_floor.into(),
            targets_floor,
            root_version,
            root_sha256: Sha256Digest(digest),
            ..invite()
        };
        let line = encode(&made);
        // Too long a line is refused, never cut.
        prop_assert!(decode(&line) == Ok(made) || decode(&line) == Err(InviteLineError::TooLong));
    }
}
