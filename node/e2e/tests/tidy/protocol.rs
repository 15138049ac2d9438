//! P10: everything the protocol can ask of a node is listed in `docs/PROTOCOL.md` with its reason. A new call, message or
//! field fails these tests until somebody writes down why an organization may reach that far.

use std::collections::{BTreeMap, BTreeSet};

/// Name and type of every call and field, as the compiled `.proto` files have them.
#[derive(Default)]
struct Wire {
    towards: BTreeSet<(String, String)>,
    from: BTreeSet<(String, String)>,
}

/// Of each message, its fields: name, type as shown, and the message that the type is, if it is one.
type Messages = BTreeMap<String, Vec<(String, String, Option<String>)>>;

/// The one call that no node makes.
const OF_ADMINS: &str = "BootstrapAdmin";

fn wire() -> Wire {
    let files = ["croft/v1/node.proto", "croft/v1/enrollment.proto"];
    let set = protox::compile(files, [crate::root().join("proto")]).expect("the protocol compiles");
    let messages: Messages = set
        .file
        .iter()
        .flat_map(|file| &file.message_type)
        .map(|message| {
            let fields = message.field.iter().map(|field| {
                let kind = field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase();
                let inner = field.type_name.as_deref().and_then(|name| name.rsplit('.').next());
                let many = if field.label().as_str_name() == "LABEL_REPEATED" { "repeated " } else { "" };
                let shown = format!("{many}{}", inner.unwrap_or(&kind));
                (field.name().to_owned(), shown, inner.map(str::to_owned))
            });
            (message.name().to_owned(), fields.collect())
        })
        .collect();
    let mut wire = Wire::default();
    for service in set.file.iter().flat_map(|file| &file.service) {
        for call in service.method.iter().filter(|call| call.name() != OF_ADMINS) {
            wire.towards.insert((format!("{}.{}", service.name(), call.name()), "call".to_owned()));
            reach(&messages, call.output_type(), &mut wire.towards);
            reach(&messages, call.input_type(), &mut wire.from);
        }
    }
    wire
}

/// Adds a message's fields and those of every message below it.
fn reach(messages: &Messages, message: &str, found: &mut BTreeSet<(String, String)>) {
    let message = message.rsplit('.').next().unwrap_or(message);
    for (field, shown, inner) in &messages[message] {
        let is_new = found.insert((format!("{message}.{field}"), shown.clone()));
        if let Some(inner) = inner.as_ref().filter(|_| is_new) {
            reach(messages, inner, found);
        }
    }
}

/// The rows of one section of the list. A row without a reason does not count.
fn listed(section: &str) -> BTreeSet<(String, String)> {
    let text = crate::read("docs/PROTOCOL.md");
    let body = text.split(&format!("\n## {section}\n")).nth(1).and_then(|t| t.split("\n## ").next());
    body.expect("the section")
        .lines()
        .filter_map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, name, kind, reason, _] = cells.as_slice() else { return None };
            let name = name.strip_prefix('`')?.strip_suffix('`')?;
            (reason.len() > 10).then(|| (name.to_owned(), (*kind).to_owned()))
        })
        .collect()
}

#[test]
fn p10_a_node_can_be_asked_for_nothing_that_is_not_listed_with_its_reason() {
    assert_eq!(listed("Towards the node"), wire().towards);
}

#[test]
fn p10_a_node_can_say_nothing_that_is_not_listed_with_its_reason() {
    assert_eq!(listed("From the node"), wire().from);
}

#[test]
fn p10_no_field_towards_a_node_is_made_for_a_command_or_a_path() {
    let words = [
        "command",
        "exec",
        "script",
        "shell",
        "path",
        "file",
        "wipe",
        "lock",
        "environment",
        "argument",
        "url",
        "host",
        "user",
        "read",
        "write",
        "delete",
    ];
    let may_carry = ["bytes", "string", "uint64", "repeated string"];
    for (name, kind) in wire().towards {
        let field = name.rsplit('.').next().unwrap_or_default().to_lowercase();
        assert!(!words.iter().any(|word| field.contains(word)), "{name}");
        let is_message =
            kind == "call" || kind.trim_start_matches("repeated ").starts_with(char::is_uppercase);
        assert!(is_message || may_carry.contains(&kind.as_str()), "{name}: {kind}");
    }
    // The texts, one by one: what each is parsed into is in the list.
    let texts: Vec<String> = wire()
        .towards
        .into_iter()
        .filter(|(_, kind)| kind.ends_with("string"))
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        texts,
        [
            "AskedModel.note",
            "AskedModel.outcome",
            "AskedModel.source",
            "DesiredState.baseline",
            "DesiredState.bundles",
            "EnrollResponse.certificate_chain_pem",
            "EnrollResponse.group",
            "RenewResponse.certificate_chain_pem",
            "Revoked.reason",
        ]
    );
}

#[test]
fn p10_no_signed_document_has_room_for_a_command_or_a_file() {
    let words = ["command", "exec", "script", "shell", "wipe", "environment", "argument", "file_name", "url"];
    for document in ["lease", "recall", "waiver", "baseline", "fleet", "runtime", "data_class"] {
        let text = crate::read(format!("proto/domain/src/{document}.rs"));
        let fields = text.lines().filter_map(|line| line.strip_prefix("    pub ")?.split_once(": "));
        for (field, kind) in fields.filter(|(field, _)| !field.contains("fn ")) {
            assert!(!words.iter().any(|word| field.contains(word)), "{document}.{field}");
            // The only paths are those that a baseline asks about, which the ceiling of collection bounds.
            let is_path = field.contains("path") || kind.contains("Path");
            assert!(!is_path || (document, field) == ("baseline", "paths"), "{document}.{field}: {kind}");
        }
    }
}

#[test]
fn p10_the_minimum_and_every_item_of_the_ceiling_are_told() {
    let privacy = crate::read("docs/PRIVACY.md");
    for item in croft_domain::collection::Item::ALL {
        let row = privacy.lines().find(|line| line.starts_with(&format!("| `{item}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/PRIVACY.md lacks {item}"));
        for ownership in
            [croft_domain::evidence::Ownership::Personal, croft_domain::evidence::Ownership::DevBudget]
        {
            let word = match item.ceiling(ownership) {
                croft_domain::collection::Ceiling::Agreed => "if a baseline asks",
                croft_domain::collection::Ceiling::WithConsent => "after `croft consent`",
                croft_domain::collection::Ceiling::Never => "never",
            };
            let column = if ownership == croft_domain::evidence::Ownership::Personal { 3 } else { 4 };
            assert_eq!(row.split('|').nth(column).map(str::trim), Some(word), "{item} {ownership:?}");
        }
    }
}

#[test]
fn p6_what_leaves_the_gateway_for_the_daemon_has_no_room_for_a_users_text() {
    let text = crate::read("proto/croft/v1/worker.proto");
    let usage = text.split("message Usage {").nth(1).and_then(|t| t.split("\n}").next()).expect("Usage");
    assert!(!usage.contains("string") && !usage.contains("bytes"), "{usage}");
    let kind =
        text.split("message KindCount {").nth(1).and_then(|t| t.split("\n}").next()).expect("KindCount");
    assert!(!kind.contains("string") && !kind.contains("bytes"), "{kind}");
    let slot = text.split("message SlotReady {").nth(1).and_then(|t| t.split('}').next()).expect("SlotReady");
    assert!(!slot.contains("string") && !slot.contains("bytes"), "{slot}");
}
