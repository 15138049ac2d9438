//! Each command over the socket.

use crate::fake::{Workstation, err, gateway, out};

#[test]
fn without_a_daemon_each_command_says_how_to_start_it() {
    let station = Workstation::silent();
    for line in [&["status"][..], &["why"], &["privacy"], &["models"], &["key"], &["chat", "hi"], &["pause"]]
    {
        let output = station.croft(line, "");
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert_eq!(out(&output), "", "{line:?}");
        assert!(err(&output).starts_with("error[E-DAEMON-DOWN]: "), "{}", err(&output));
        assert!(err(&output).ends_with("hint: start it with croft service start\n"), "{}", err(&output));
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    let station = Workstation::silent();
    for line in [&["stat"][..], &[], &["enroll", "x", "--ownership", "mine"], &["why", "-o", "yaml"]] {
        assert_eq!(station.croft(line, "").status.code(), Some(2), "{line:?}");
    }
}

#[test]
fn p10_nobody_is_enrolled_without_a_yes() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["enroll", "croft1.abc"], "y\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(err(&output).contains("What is collected, and why:\n  - disk encryption: required\n"));
    assert!(err(&output).contains("error[E-CONSENT-REQUIRED]: "), "{}", err(&output));
    assert_eq!(station.asked(), [""; 0]);
}

#[test]
fn p10_a_preview_sends_nothing() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["enroll", "-", "--preview"], "croft enroll croft1.abc\n");
    assert_eq!(output.status.code(), Some(0), "{}", err(&output));
    assert!(out(&output).contains("{\"ownership\":\"personal\"}"), "{}", out(&output));
    assert_eq!(station.asked(), [""; 0]);
}

#[test]
fn enrolling_with_a_yes_carries_the_ownership() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["enroll", "-", "--yes", "--ownership", "dev-budget"], "croft1.abc");
    assert_eq!(out(&output), "Enrolled as node 00ff in group team-a.\n", "{}", err(&output));
    assert_eq!(station.asked(), ["enroll croft1.abc dev-budget true"]);
}

#[test]
fn a_refusal_keeps_the_daemons_code_and_hint() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["enroll", "croft1.old", "--yes"], "");
    assert_eq!(output.status.code(), Some(1));
    let lines = "error[E-INVITE-EXPIRED]: the invite ended\nhint: ask the admin for a new one";
    assert!(err(&output).starts_with(lines), "{}", err(&output));
}

#[test]
fn status_is_for_people_and_programs() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["status"], "");
    assert!(out(&output).starts_with("serving      no, E-NOT-ENROLLED: "), "{}", out(&output));
    let output = station.croft(&["status", "-o", "json"], "");
    assert!(out(&output).contains("\"serving_code\": \"E-NOT-ENROLLED\""), "{}", out(&output));
    station.install_node("[ \"$1\" = paths ] && echo \"state      $CROFT_STATE\"");
    let output = station.croft(&["status", "--paths"], "");
    assert_eq!(out(&output), format!("state      {}\n", station.path().display()));
}

#[test]
fn the_other_nouns_answer_on_stdout() {
    let station = Workstation::with_daemon("");
    let says = |line: &[&str], text: &str| {
        let output = station.croft(line, "");
        assert_eq!(output.status.code(), Some(0), "{line:?} {}", err(&output));
        assert!(out(&output).contains(text), "{line:?} {}", out(&output));
    };
    says(&["why"], "There is no verdict yet.");
    says(&["why", "-o", "json"], "\"verdict\": null");
    says(&["privacy"], "{\"os\":\"linux\"}");
    says(&["privacy", "-o", "json"], "\"text\": \"{\\\"os\\\":\\\"linux\\\"}\"");
    says(&["models"], "coder@3  -        fetching");
    let measured = station.croft(&["models", "--measure", "coder"], "");
    assert!(err(&measured).contains("not on battery: q4_k_m, q4_0"), "{}", err(&measured));
    says(&["models", "-o", "json"], "\"state\": \"loaded\"");
    says(&["key"], "test-key\n");
    says(&["key", "--rotate"], "new-key\n");
    says(&["completions", "bash"], "_croft()");
    says(&["service", "status"], "running, version 0.1.0\n");
    assert!(out(&station.croft(&["pause"], "")).is_empty());
    station.croft(&["resume"], "");
    assert_eq!(station.asked(), ["measure coder", "paused true", "paused false"]);
}

#[test]
fn leaving_asks_and_gives_a_receipt() {
    let station = Workstation::with_daemon("");
    let output = station.croft(&["leave"], "y\n");
    assert!(err(&output).contains("error[E-CONSENT-REQUIRED]"), "{}", err(&output));
    let output = station.croft(&["leave", "--yes"], "");
    assert_eq!(out(&output), "Left the fleet. The controller was told.\nerased  /s/identity\nreceipt r1\n");
    assert_eq!(station.asked(), ["leave"]);
}

#[test]
fn p10_leaving_works_without_daemon_and_controller() {
    let station = Workstation::silent();
    station.install_node("[ \"$1\" = leave ] && echo \"left without $CROFT_STATE\"");
    let output = station.croft(&["leave", "--yes"], "");
    assert_eq!(out(&output), format!("left without {}\n", station.path().display()), "{}", err(&output));
}

#[test]
fn posture_becomes_the_node_with_the_same_words() {
    let station = Workstation::silent();
    station.install_node("echo \"$@\"; exit 3");
    let output = station.croft(&["posture", "--root", "x y", "-o", "json"], "");
    assert_eq!((out(&output).as_str(), output.status.code()), ("posture --root x y -o json\n", Some(3)));
    let output = station.croft(&["census", "-o", "json"], "");
    assert_eq!((out(&output).as_str(), output.status.code()), ("census -o json\n", Some(3)));
    assert!(
        err(&output).starts_with("Models are not compared: the daemon does not answer"),
        "{}",
        err(&output)
    );
}

#[test]
fn the_census_is_compared_with_what_the_daemon_lists() {
    let station = Workstation::with_daemon("127.0.0.1:1");
    station.install_node("echo \"$@\"; cat");
    let output = station.croft(&["census"], "");
    assert_eq!(out(&output), "census --catalog\n{\"files\":{}}", "{}", err(&output));
}

#[test]
fn approved_models_are_handed_over_chunk_by_chunk_and_nothing_else_is() {
    let station = Workstation::with_daemon("127.0.0.1:1");
    let weights = station.path().join("weights");
    std::fs::write(&weights, "12345678").expect("a file");
    let model = |name: &str, digest: &str, standing: &str, bundle: &str| {
        let (bundle, version) = bundle.split_once('@').expect("a reference");
        format!(
            r#"{{"name":"{name}","path":"{}","sha256":"sha256:{}","len_bytes":8,"standing":"{standing}",
            "bundle":{{"name":"{bundle}","version":{version}}},"scan":null}}"#,
            weights.display(),
            digest.repeat(32)
        )
    };
    let models = [
        model("coder:7b", "11", "approved", "coder@3"),
        model("coder-again", "11", "approved", "coder@3"),
        model("small", "22", "approved", "small@1"),
        model("later", "33", "approved", "later@1"),
        model("merger", "44", "known", "merger@1"),
    ];
    let census = format!(
        r#"{{"found":{{"tools":[{{"tool":"ollama","title":"Ollama","stores":[{{"models":[{}]}}]}}]}}}}"#,
        models.join(",")
    );
    std::fs::write(station.path().join("census.json"), census).expect("a file");
    station.install_node(&format!("cat > /dev/null; cat '{}'", station.path().join("census.json").display()));
    let output = station.croft(&["adopt", "--dry-run"], "");
    assert_eq!(
        out(&output),
        "coder@3  coder:7b in Ollama, 1 MiB: can be taken over\nsmall@1  small in Ollama, 1 MiB: here already\n\
         later@1  later in Ollama, 1 MiB: approved, but not assigned to this machine: ask the admin\n",
        "{}",
        err(&output)
    );
    assert_eq!(station.asked(), [""; 0]);
    let output = station.croft(&["adopt"], "y\n");
    assert!(err(&output).contains("error[E-CONSENT-REQUIRED]"), "{}", err(&output));
    let output = station.croft(&["adopt", "--yes"], "");
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(station.asked(), ["adopt 32 0 ", "adopt 32 0 1234", "adopt 32 1 5678"]);
}

#[test]
fn fixes_are_printed_and_never_run() {
    let station = Workstation::silent();
    let output = station.croft(&["fix", "swap"], "");
    assert!(out(&output).contains("\nsudo swapoff --all\n"), "{}", err(&output));
    assert!(out(&output).contains("# effort: five minutes"), "{}", out(&output));
    let output = station.croft(&["fix", "disk-encryption:swap:partition"], "");
    assert!(out(&output).contains("sudo swapoff --all"), "{}", err(&output));
    let output = station.croft(&["fix", "moon-phase"], "");
    assert!(
        err(&output).contains("error[E-NOT-FOUND]: there is no check or subject moon-phase"),
        "{}",
        err(&output)
    );
    assert_eq!(output.status.code(), Some(1));
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"SELECT \\u001b[31m\"}}]}\n\n\
    data: {\"choices\":[{\"delta\":{\"content\":\"1;\"}}]}\n\ndata: [DONE]\n\n";

#[test]
fn p1_a_prompt_goes_to_loopback_and_never_to_a_proxy() {
    let (address, served) = gateway(ANSWER);
    let station = Workstation::with_daemon(&address);
    let mut command = station.command(&["chat", "one, please", "--model", "sql"]);
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output = command.output().expect("runs");
    assert_eq!(out(&output), "SELECT \\u{1b}[31m1;\n", "{}", err(&output));
    let request = served.join().expect("served");
    assert!(request.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"), "{request}");
    assert!(request.to_ascii_lowercase().contains("authorization: bearer test-key\r\n"), "{request}");
    let body =
        "{\"model\":\"sql\",\"messages\":[{\"role\":\"user\",\"content\":\"one, please\"}],\"stream\":true}";
    assert!(request.ends_with(body), "{request}");
}

#[test]
fn p1_a_gateway_elsewhere_gets_no_prompt() {
    let station = Workstation::with_daemon("http://192.0.2.1:80");
    let output = station.croft(&["chat"], "secret");
    assert!(err(&output).contains("not on this machine"), "{}", err(&output));
}

#[test]
fn chat_tells_a_refusal_and_a_cut_answer_apart() {
    let (address, served) = gateway(
        "HTTP/1.1 404 Not Found\r\ncontent-length: 63\r\n\r\n{\"error\":{\"code\":\"E-MODEL-UNKNOWN\",\"message\":\"no model x\"}}    ",
    );
    let output = Workstation::with_daemon(&address).croft(&["chat"], "hello");
    assert!(err(&output).starts_with("error[E-MODEL-UNKNOWN]: no model x\n"), "{}", err(&output));
    served.join().expect("served");
    let (address, served) = gateway(
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n",
    );
    let output = Workstation::with_daemon(&address).croft(&["chat", "hello"], "");
    assert_eq!((out(&output).as_str(), output.status.code()), ("half", Some(1)));
    assert!(err(&output).contains("the answer ended early"), "{}", err(&output));
    served.join().expect("served");
}

#[test]
fn chat_says_why_it_cannot() {
    let output = Workstation::with_daemon("").croft(&["chat", "hi"], "");
    assert!(err(&output).starts_with("error[E-NOT-ENROLLED]: "), "{}", err(&output));
}

#[test]
fn import_streams_a_file_and_tells_what_came_of_it() {
    let station = Workstation::with_daemon("");
    let file = station.path().join("news.croft");
    std::fs::write(&file, vec![b'x'; 2_500_000]).expect("written");
    let output = station.croft(&["import", &file.display().to_string()], "");
    insta::assert_snapshot!(out(&output), @r"
    starter@2: installed
    other@1: left out: E-UNAPPROVED: not for this machine's group
    hint: no signed document allows this for the group; the admin can run croftctl assign
    signed documents: in force until 2027-01-15T08:00:00Z
    1 new recall is obeyed
    ");
    let piped = station.croft(&["import", "-", "-o", "json"], "yes");
    assert!(out(&piped).contains("\"outcome\": \"left-out\""), "{}", err(&piped));
    assert_eq!(station.asked(), ["import 2500000", "import 3"]);
}

#[test]
fn an_import_that_is_refused_says_why() {
    let station = Workstation::with_daemon("");
    let file = station.path().join("bad.croft");
    std::fs::write(&file, b"bad").expect("written");
    for (path, said) in [
        (
            file.display().to_string(),
            "error[E-ARCHIVE-REFUSED]: archive at byte 0: a header whose checksum holds\nhint: ",
        ),
        (
            "/nonexistent/news.croft".to_owned(),
            "error[E-INPUT]: cannot read /nonexistent/news.croft: No such file",
        ),
        (station.path().display().to_string(), "error[E-INPUT]: "),
    ] {
        let output = station.croft(&["import", &path], "");
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""), "{path}");
        assert!(err(&output).starts_with(said), "{}", err(&output));
    }
}
