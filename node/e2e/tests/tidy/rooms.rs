//! Edges between the rooms of a crate: data flows one way.

use std::collections::BTreeSet;

/// A crate's source folder, and for each of its rooms the sibling rooms it may know. A room that is not listed may be
/// known by all and knows none of the listed.
struct House {
    folder: &'static str,
    rooms: &'static [(&'static str, &'static [&'static str])],
    /// Rooms that may name wire types.
    wire: &'static [&'static str],
}

const HOUSES: &[House] = &[
    House {
        folder: "controller/src",
        rooms: &[
            ("command", &["api", "app", "store", "blobs", "report"]),
            ("api", &["app"]),
            ("app", &["store", "blobs", "report"]),
            ("store", &[]),
            ("blobs", &[]),
            ("report", &[]),
        ],
        wire: &["api"],
    },
    House {
        folder: "node/src",
        rooms: &[
            (
                "command",
                &[
                    "agent",
                    "bundles",
                    "census",
                    "controller_client",
                    "gateway",
                    "local",
                    "posture",
                    "state",
                    "supervisor",
                ],
            ),
            ("local", &["agent", "bundles", "state"]),
            ("agent", &["bundles", "census", "controller_client", "posture", "state", "supervisor"]),
            ("controller_client", &["state"]),
            ("bundles", &["state"]),
            ("supervisor", &["state"]),
            ("posture", &[]),
            ("census", &[]),
            ("state", &[]),
            ("gateway", &[]),
        ],
        wire: &["controller_client", "local", "gateway", "supervisor"],
    },
];

/// The first path segment behind every `crate::` in the code, comments left out.
fn rooms_named(text: &str) -> BTreeSet<String> {
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .flat_map(|code| code.split("crate::").skip(1))
        .flat_map(|rest| {
            let inner = rest.strip_prefix('{').map_or(rest, |group| group.split('}').next().unwrap_or(group));
            let is_group = rest.starts_with('{');
            let parts: Vec<&str> = if is_group { inner.split(',').collect() } else { vec![inner] };
            parts
                .into_iter()
                .map(|part| part.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect())
                .collect::<Vec<String>>()
        })
        .collect()
}

#[test]
fn rooms_know_only_what_the_house_allows() {
    for house in HOUSES {
        for path in crate::sources(".rs") {
            let Ok(inside) = path.strip_prefix(house.folder) else { continue };
            let first =
                inside.components().next().expect("a path").as_os_str().to_string_lossy().into_owned();
            let room = first.trim_end_matches(".rs").to_owned();
            let text = crate::read(&path);
            let Some((_, allowed)) = house.rooms.iter().find(|(name, _)| *name == room) else { continue };
            for named in rooms_named(&text) {
                let is_room = house.rooms.iter().any(|(name, _)| *name == named);
                assert!(
                    !is_room || named == room || allowed.contains(&named.as_str()),
                    "{}: room {room} must not know room {named}",
                    path.display()
                );
            }
            let names_wire = text.contains("croft_proto::");
            assert!(
                !names_wire || house.wire.contains(&room.as_str()),
                "{}: only {:?} may name wire types",
                path.display(),
                house.wire
            );
        }
    }
}

#[test]
fn the_reader_of_edges_sees_groups_and_skips_comments() {
    let text = "use crate::{store, api::Thing};\nlet x = crate::blobs::open(); // crate::report\n";
    let named = rooms_named(text);
    assert_eq!(named, BTreeSet::from(["api".to_owned(), "blobs".to_owned(), "store".to_owned()]));
}
