//! `init` before it reaches a controller.

use crate::run::Place;

fn bootstrap(place: &Place) -> std::path::PathBuf {
    // Bound and closed again, so that nobody listens there.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
    let text = format!(
        r#"{{"controller":"https://127.0.0.1:{port}","ca_pin":"sha256:{}","token":"{}","fleet":"{}","fleet_name":"test"}}"#,
        "11".repeat(32),
        "22".repeat(32),
        "33".repeat(16)
    );
    place.write("bootstrap.json", text.as_bytes())
}

#[test]
fn init_refuses_a_folder_with_keys() {
    let place = Place::new();
    bootstrap(&place);
    std::fs::create_dir_all(place.fleet().join("keys")).expect("made");
    place.write("fleet/keys/root.pk8", b"precious");
    insta::assert_snapshot!(place.shown(&["init", "--solo", "--bootstrap", "bootstrap.json"]), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-CONFLICT]: [PLACE]/fleet already holds a fleet
    hint: name another folder with --config; a fleet's keys are never overwritten
    ");
    assert_eq!(std::fs::read(place.path("fleet/keys/root.pk8")).expect("the key"), b"precious");
}

#[test]
fn p9_init_without_a_controller_leaves_nothing_behind() {
    let place = Place::new();
    bootstrap(&place);
    for _ in 0..2 {
        let output = place.run(&["init", "--solo", "--bootstrap", "bootstrap.json"]);
        let talk = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1));
        assert!(talk.starts_with("error[E-NET-UNREACHABLE]: "), "{talk}");
        assert!(!place.fleet().join("keys").exists());
    }
}

#[test]
fn init_says_what_is_wrong_with_the_bootstrap_file() {
    let place = Place::new();
    place.write("bootstrap.json", b"{}");
    insta::assert_snapshot!(place.shown(&["init", "--solo", "--bootstrap", "bootstrap.json"]), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-INPUT]: bootstrap.json: is not what croft-controller init writes: missing field `controller` at line 1 column 2
    hint: correct the value that the message names
    ");
    insta::assert_snapshot!(place.shown(&["init", "--solo", "--bootstrap", "missing.json"]), @"
    exit: 1
    --- stdout
    --- stderr
    error[E-INPUT]: cannot read missing.json: No such file or directory (os error 2)
    hint: check the path and its permissions
    ");
}
