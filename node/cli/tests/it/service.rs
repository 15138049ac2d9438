//! Starting, stopping and removing what runs.

use crate::fake::{Workstation, err, out};

#[test]
fn a_daemon_that_does_not_come_up_is_told_with_its_own_words() {
    let station = Workstation::silent();
    station.install_node("echo 'error[E-PORT-TAKEN]: 127.0.0.1:11535 is taken' >&2; exit 1");
    let output = station.croft(&["service", "start"], "");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("E-PORT-TAKEN]: 127.0.0.1:11535 is taken"), "{}", err(&output));
    assert!(!station.path().join("run/croft-node.pid").exists());
}

#[test]
fn start_waits_until_the_socket_answers_and_stop_until_it_is_gone() {
    // The script stands for the daemon's process; its socket is the fake's, which appears once it runs.
    let station = Workstation::with_daemon_at("daemon.sock", "");
    station.install_node(
        "[ \"$1\" = run ] || exit 9\n\
         trap 'rm \"$CROFT_RUN/croft.sock\"; exit 0' TERM\n\
         ln -s \"$CROFT_STATE/daemon.sock\" \"$CROFT_RUN/croft.sock\"\n\
         while :; do sleep 0.02; done",
    );
    let output = station.croft(&["service", "start"], "");
    assert!(err(&output).starts_with("The daemon runs as process "), "{}", err(&output));
    assert_eq!(out(&station.croft(&["service", "status"], "")), "running, version 0.1.0\n");
    let output = station.croft(&["service", "stop"], "");
    assert_eq!(err(&output), "The daemon is stopped.\n");
    assert!(!station.path().join("run/croft.sock").exists());
    assert!(!station.path().join("run/croft-node.pid").exists());
}

#[test]
fn a_running_daemon_is_not_started_twice() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["service", "start"], "");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), "The daemon runs already.\n"));
}

#[test]
fn without_a_node_package_the_message_names_the_folder() {
    let output = Workstation::silent().croft(&["service", "start"], "");
    assert!(err(&output).starts_with("error[E-NOT-FOUND]: croft-node is not in "), "{}", err(&output));
}

#[test]
fn stopping_never_signals_a_process_that_is_not_the_daemon() {
    let station = Workstation::silent();
    std::fs::create_dir_all(station.path().join("run")).expect("a folder");
    // This test's own number: a stale pid file after the number was reused.
    std::fs::write(station.path().join("run/croft-node.pid"), std::process::id().to_string())
        .expect("a file");
    let output = station.croft(&["service", "stop"], "");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), "The daemon does not run.\n"));
}

#[test]
fn p10_uninstall_lists_everything_asks_and_removes_it() {
    let station = Workstation::silent();
    station.install_node("[ \"$1\" = paths ] && echo \"state      $CROFT_STATE\" || echo left");
    let state = station.path().join("state");
    std::fs::create_dir_all(state.join("identity")).expect("a folder");
    std::fs::write(state.join("api-key"), "k").expect("a file");
    let state_text = state.display().to_string();
    let output = station.croft(&["uninstall", "--state", &state_text], "y\n");
    assert!(err(&output).contains(&format!("removes:\n  {state_text}\n")), "{}", err(&output));
    assert!(err(&output).contains("error[E-CONSENT-REQUIRED]"));
    assert!(state.exists());
    let output = station.croft(&["uninstall", "--state", &state_text, "--yes"], "");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert_eq!(out(&output), format!("left\nremoved {state_text}\n"));
    assert!(!state.exists());
}

#[test]
fn p10_uninstall_refuses_a_folder_that_is_not_the_daemons() {
    let station = Workstation::silent();
    station.install_node("[ \"$1\" = paths ] && echo \"state      $CROFT_STATE\" || echo left");
    let documents = station.path().join("documents");
    std::fs::create_dir_all(&documents).expect("a folder");
    std::fs::write(documents.join("thesis"), "years of work").expect("a file");
    let output = station.croft(&["uninstall", "--yes", "--state", &documents.display().to_string()], "");
    assert!(err(&output).starts_with("error[E-INPUT]: "), "{}", err(&output));
    assert!(documents.join("thesis").exists());
}
