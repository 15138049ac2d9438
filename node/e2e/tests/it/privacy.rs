//! P6: what was asked and answered is found nowhere afterwards. The most talkative logging is on, workers are killed in
//! the middle of answers, and then every file of the workstation and of the controller is searched.

use std::path::Path;
use std::time::Duration;

use croft_e2e::api::{Answer, Api};
use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::wait;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::Village;

pub const MARKER: &str = "zanzibarquux";

/// The baseline of the demo, with content that is kept from models.
const GUARDING_BASELINE: &str = "\
kind: Baseline
name: starter
version: 1
tier: 1
checks:
  self-test:
    mode: block
data_classes:
  payment-cards: block
  email-addresses: redact
";

pub fn question() -> String {
    format!("list the {MARKER} of customers")
}

fn caller(village: &Village) -> Api {
    let station = &village.workstation;
    Api::new(&station.gateway(), Some(&station.api_key().expect("a key")))
}

/// How text looks in files that do not hold it as it is: hexadecimal, UTF-16, and Base64 at each of its three phases.
pub fn disguises(marker: &str) -> Vec<Vec<u8>> {
    let plain = marker.as_bytes().to_vec();
    let hex: String = plain.iter().map(|byte| format!("{byte:02x}")).collect();
    let wide: Vec<u8> = plain.iter().flat_map(|byte| [*byte, 0]).collect();
    // A whole number of three-byte groups from each phase, so that neighbors do not change it.
    let base64 = (0..3).map(|phase| base64(&plain[phase..phase + (plain.len() - phase) / 3 * 3]));
    [plain.clone(), hex.into_bytes(), wide].into_iter().chain(base64).collect()
}

fn base64(bytes: &[u8]) -> Vec<u8> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks_exact(3).map(|g| u32::from_be_bytes([0, g[0], g[1], g[2]]));
    groups.flat_map(|group| [18, 12, 6, 0].map(|shift| LETTERS[(group >> shift) as usize & 63])).collect()
}

/// The first file below `folder` that holds one of the needles.
fn holder(folder: &Path, needles: &[Vec<u8>]) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().find_map(|entry| {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => holder(&path, needles),
            Ok(kind) if kind.is_file() => {
                let bytes = std::fs::read(&path).unwrap_or_default();
                let holds = |needle: &Vec<u8>| bytes.windows(needle.len()).any(|window| window == needle);
                needles.iter().any(holds).then_some(path)
            }
            _ => None,
        }
    })
}

#[track_caller]
fn assert_nowhere(village: &Village) {
    let station = &village.workstation;
    let needles = disguises(MARKER);
    // Everything that goes to the controller is recorded before it goes.
    let sent = station.croft(&["privacy"]).expect("what was sent");
    assert!(!sent.says(MARKER), "sent to the controller");
    // State, run folder, home, temporary files and logs of the node; state, database and log of the controller.
    assert_eq!(holder(village.folder.path(), &needles), None);
}

#[test]
fn the_search_for_markers_can_find_one_however_it_is_written() {
    for (at, disguise) in disguises(MARKER).into_iter().enumerate() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("a")).expect("a folder");
        std::fs::write(folder.path().join("a/b"), [b"xx ".to_vec(), disguise, b" yy".to_vec()].concat())
            .expect("a file");
        assert!(holder(folder.path(), &disguises(MARKER)).is_some(), "{at}");
        assert!(holder(folder.path(), &disguises("something-else")).is_none());
    }
}

#[test]
fn p6_what_was_asked_is_found_nowhere_after_success_and_refusal() {
    let village = Village::with(REPORTING_BASELINE, "trace").enrolled();
    let api = caller(&village);
    let answer = api.ask(&question()).expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    api.ask_streaming(&question()).expect("a stream");
    let call = json!([{"id": "call_1", "type": "function",
        "function": {"name": "search", "arguments": format!("{{\"text\": \"{MARKER}\"}}")}}]);
    let user = json!({"role": "user", "content": question()});
    for (path, body) in [
        ("/v1/completions", json!({"model": "chat", "prompt": question(), "max_tokens": 8})),
        ("/v1/completions", json!({"model": "chat", "prompt": MARKER, "suffix": MARKER, "max_tokens": 8})),
        ("/api/generate", json!({"model": "chat", "prompt": question(), "stream": false})),
        (
            "/v1/chat/completions",
            json!({"model": "chat", "max_tokens": 8, "messages": [user,
            {"role": "assistant", "content": null, "tool_calls": call},
            {"role": "tool", "tool_call_id": "call_1", "content": MARKER}]}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "chat", "max_tokens": 8, "messages": [user],
            "tools": [{"type": "function", "function": {"name": MARKER, "description": MARKER}}]}),
        ),
        ("/v1/embeddings", json!({"model": "chat", "input": MARKER})),
        ("/v1/rerank", json!({"model": "chat", "query": MARKER, "documents": [MARKER, MARKER]})),
        // Refused: each for another reason.
        ("/v1/chat/completions", json!({"model": MARKER, "messages": MARKER})),
        ("/v1/chat/completions", json!({"model": MARKER, "messages": [user]})),
        ("/v1/chat/completions", json!({"model": "chat", "messages": [{"role": MARKER, "content": MARKER}]})),
        ("/v1/chat/completions", json!({"model": "chat", "messages": [user], "n": 7})),
        ("/v1/completions", json!({"model": "chat", "prompt": MARKER.repeat(20_000)})),
        ("/api/pull", json!({"model": MARKER})),
        ("/zanzibarquux", json!({})),
    ] {
        api.post(path, &body).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let stranger = Api::new(&village.workstation.gateway(), Some(MARKER));
    stranger.ask(&question()).expect("an answer or a refusal");
    assert_nowhere(&village);
    let log = village.workstation.log();
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the most talkative logging was not on: {log}");
}

/// Asks until something other than an answer comes.
pub fn ask_until_refused(api: &Api) -> Answer {
    let body = json!({"model": "chat", "ignore_eos": true, "max_tokens": 200, "temperature": 0,
        "messages": [{"role": "user", "content": question()}]});
    (0..1000)
        .map(|_| api.post("/v1/chat/completions", &body).expect("an answer or a refusal"))
        .find(|answer| answer.status != 200)
        .expect("the worker's end is told")
}

#[test]
fn p6_what_was_asked_is_found_nowhere_after_workers_crashed_in_the_middle_of_it() {
    let village = Village::with(REPORTING_BASELINE, "trace").enrolled();
    let station = &village.workstation;
    let api = caller(&village);
    for signal in [Signal::KILL, Signal::ABORT] {
        let pid = station.pid_of("worker").expect("a pid");
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("its limits");
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit");
        assert_eq!(core.split_whitespace().nth(4), Some("0"), "core dumps: {core}");
        let refused = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask_until_refused(&api));
            // Not to synchronize: the crash is to come while something is being answered, whatever it is.
            wait::pause(Duration::from_millis(300));
            let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
            kill_process(raw, signal).expect("a signal sent");
            asking.join().expect("a thread")
        });
        assert_eq!(refused.body["error"]["code"], "E-WORKER-CRASHED", "{refused:?}");
        assert!(!refused.body.to_string().contains(MARKER));
        wait::until("another worker", 60, || {
            let now = station.pid_of("worker").map_err(|error| error.to_string())?;
            if now == pid { Err("the same".to_owned()) } else { Ok(()) }
        })
        .expect("another worker");
        station.wait_until_serving(60).expect("serving again");
        assert_eq!(api.ask(&question()).expect("an answer").status, 200);
    }
    assert_nowhere(&village);
}

#[test]
fn p6_content_that_the_baseline_keeps_from_models_is_refused_or_redacted() {
    let village = Village::with(GUARDING_BASELINE, "trace").enrolled();
    let api = caller(&village);
    let refused = api.ask(&format!("{MARKER} pays with 4111 1111 1111 1111")).expect("a refusal");
    assert_eq!(refused.status, 403, "{refused:?}");
    let error: &Value = &refused.body["error"];
    assert_eq!(error["code"], "E-DATA-BLOCKED");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("a payment card number")), "{error}");
    assert!(!error.to_string().contains("4111") && !error.to_string().contains(MARKER), "{error}");
    let redacted = api.ask("mail jane@acme.io: test that add(2, 3) is 5").expect("an answer");
    assert_eq!(redacted.status, 200, "{redacted:?}");
    assert!(!redacted.body.to_string().contains("jane@"), "{redacted:?}");
    assert_nowhere(&village);
}
