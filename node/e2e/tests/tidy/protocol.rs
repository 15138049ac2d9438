//! P10: everything the protocol can ask of a node, written down once more by hand. A new message fails this test until
//! somebody decides that an organization may reach that far.

/// The calls of a service, in order.
fn calls(file: &str, service: &str) -> Vec<String> {
    let text = crate::read(file);
    let body = text.split(&format!("service {service} {{")).nth(1).and_then(|t| t.split("\n}").next());
    body.expect("the service")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("rpc "))
        .filter_map(|line| line.split('(').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn p10_a_node_can_be_asked_for_nothing_else() {
    let node = calls("proto/croft/v1/node.proto", "Node");
    assert_eq!(node, ["Challenge", "Attest", "SubmitReceipt", "Watch", "Leave"]);
    let enrollment = calls("proto/croft/v1/enrollment.proto", "Enrollment");
    assert_eq!(enrollment, ["Enroll", "RenewalChallenge", "Renew", "BootstrapAdmin"]);
    let text = crate::read("proto/croft/v1/node.proto");
    let events = text.split("message WatchEvent {").nth(1).and_then(|t| t.split("\n}").next());
    let events: Vec<&str> = events
        .expect("the events")
        .lines()
        .filter(|line| line.trim().ends_with(';'))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(events, ["DesiredState", "Recalled", "Revoked", "AttestNow"]);
}

#[test]
fn p10_no_message_to_a_node_can_carry_a_command_or_a_path() {
    let text = crate::read("proto/croft/v1/node.proto");
    let code: String = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    for word in
        ["command", "exec", "script", "shell", "path", "file", "wipe", "lock", "environment", "argument"]
    {
        assert!(!code.to_lowercase().contains(word), "node.proto mentions {word}");
    }
}

#[test]
fn p6_what_leaves_the_gateway_for_the_daemon_has_no_room_for_a_users_text() {
    let text = crate::read("proto/croft/v1/worker.proto");
    let usage = text.split("message Usage {").nth(1).and_then(|t| t.split("\n}").next()).expect("Usage");
    assert!(!usage.contains("string") && !usage.contains("bytes"), "{usage}");
    let slot = text.split("message SlotReady {").nth(1).and_then(|t| t.split('}').next()).expect("SlotReady");
    assert!(!slot.contains("string") && !slot.contains("bytes"), "{slot}");
}
