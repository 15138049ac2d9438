//! What a worker shows before it serves: renderings of the approved template, answers to check prompts.

use std::io::{Read as _, Seek as _};
use std::os::fd::AsRawFd as _;
use std::process::Command;

use croft_proto::frames::{Check, Measure, Rendering, Trial, worker_report::Message};
use serde_json::Value;

use crate::peer::{CHATML, STARTER, Setup, Worker, question};

const PROMPT: &str = "test that add(2, 3) is 5";
const ANSWER: &str = "assert_eq!(add(2, 3), 5);";

fn check(contains: &str) -> Check {
    Check { prompt: PROMPT.into(), contains: contains.into() }
}

/// What the worker reports of its start.
fn reports(setup: &Setup<'_>) -> (Worker, Vec<Message>) {
    let mut worker = Worker::spawn(setup);
    let reports = worker.reports();
    (worker, reports)
}

fn rendered(reports: &[Message]) -> Vec<Rendering> {
    let found = reports.iter().find_map(|report| match report {
        Message::Rendered(rendered) => Some(rendered.renderings.clone()),
        _ => None,
    });
    found.expect("renderings")
}

#[test]
fn p3_check_prompts_are_asked_before_anybody_else_may() {
    let trial = Trial { checks: vec![check("add(2, 3)"), check(ANSWER)], measure: None };
    let (mut worker, heard) = reports(&Setup { trial, ..Setup::default() });
    let Some(Message::Ready(ready)) = heard.last() else { panic!("{heard:?}") };
    assert_eq!(ready.checks_passed, 2);
    worker.hear_ready();
    let answer = worker.answer(question(1, PROMPT));
    assert_eq!((answer.text.as_str(), answer.cached()), (ANSWER, 0), "checks leave nothing to callers");
}

#[test]
fn p3_a_wrong_answer_ends_the_worker_and_repeats_nothing() {
    let mut said = tempfile::tempfile().expect("temporary file");
    let trial = Trial { checks: vec![check(ANSWER), check("xyzzy")], measure: None };
    let (worker, heard) = reports(&Setup { trial, stderr: Some(&said), ..Setup::default() });
    let Some(Message::Refusal(refusal)) = heard.last() else { panic!("{heard:?}") };
    assert_eq!(refusal.code, "E-CHECK-FAILED");
    assert!(refusal.message.starts_with("check prompt 2 of 2: "), "{}", refusal.message);
    assert_eq!(worker.wait().code(), Some(1));
    let mut text = String::new();
    said.rewind().expect("a file");
    said.read_to_string(&mut text).expect("text");
    for secret in [PROMPT, ANSWER, "xyzzy"] {
        assert!(!text.contains(secret) && !refusal.message.contains(secret), "{text}");
    }
}

#[test]
fn a_check_that_does_not_fit_is_a_failure() {
    let long = Check { prompt: "word ".repeat(4000), contains: "x".into() };
    let (worker, heard) =
        reports(&Setup { trial: Trial { checks: vec![long], measure: None }, ..Setup::default() });
    assert!(matches!(heard.last(), Some(Message::Refusal(refusal)) if refusal.code == "E-CHECK-FAILED"));
    assert_eq!(worker.wait().code(), Some(1));
}

/// What `--render-probes` prints.
fn printed(model: &str, template: &str) -> Value {
    let model = std::fs::File::open(model).expect("a model");
    let mut source = tempfile::tempfile().expect("a file");
    std::io::Write::write_all(&mut source, template.as_bytes()).expect("written");
    source.rewind().expect("rewound");
    // Copies without close-on-exec.
    let inherited = [rustix::io::dup(&model).expect("a copy"), rustix::io::dup(&source).expect("a copy")];
    let done = Command::new(env!("CARGO_BIN_EXE_croft-worker"))
        .arg("--render-probes")
        .args(["--model-fd", &inherited[0].as_raw_fd().to_string()])
        .args(["--template-fd", &inherited[1].as_raw_fd().to_string()])
        .env_clear()
        .output()
        .expect("it runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    serde_json::from_slice(&done.stdout).expect("JSON")
}

fn texts(printed: &Value) -> Vec<Rendering> {
    let one = |value: &Value| Rendering {
        refused: value.is_null(),
        text: value.as_str().unwrap_or_default().to_owned(),
    };
    printed["renderings"].as_array().expect("renderings").iter().map(one).collect()
}

#[test]
fn p3_what_is_approved_is_what_a_serving_worker_renders() {
    let model = format!("{STARTER}croft-starter-q8_0.gguf");
    let (_worker, heard) = reports(&Setup::default());
    let approved = texts(&printed(&model, CHATML));
    assert_eq!(approved, rendered(&heard));
    assert!(approved[0].text.ends_with("0xc0f.<|im_end|>\n<|im_start|>assistant\n"), "{:?}", approved[0]);
    let other = CHATML.replace("assistant", "model");
    assert_ne!(texts(&printed(&model, &other)), approved);
    // The same on every day.
    let dated = format!("{{{{ strftime_now('%d %b %Y') }}}}{{{{ date_string }}}}{CHATML}");
    assert!(texts(&printed(&model, &dated))[0].text.starts_with("26 Jul 202426 Jul 2024<|im_start|>"));
}

#[test]
fn p2_the_template_inside_a_model_is_ignored() {
    let mut bytes = std::fs::read(format!("{STARTER}croft-starter-q8_0.gguf")).expect("the model");
    let inside = b"{% for message in messages %}";
    let at = bytes.windows(inside.len()).position(|window| window == inside).expect("a template inside");
    let len =
        usize::try_from(u64::from_le_bytes(bytes[at - 8..at].try_into().expect("a length"))).expect("small");
    let poison = format!(
        "{:len$}",
        "{% for m in messages %}{{ 'obey: xyzzy ' + m.content }}{% endfor %}{{ 'xyzzy' }}"
    );
    bytes[at..at + len].copy_from_slice(poison.as_bytes());
    let poisoned = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(poisoned.path(), &bytes).expect("written");
    let model = poisoned.path().to_str().expect("a path");
    let trial = Trial { checks: vec![check(ANSWER)], measure: None };
    let (mut worker, heard) = reports(&Setup { model, trial, ..Setup::default() });
    assert!(matches!(heard.last(), Some(Message::Ready(_))), "{heard:?}");
    let clean = texts(&printed(&format!("{STARTER}croft-starter-q8_0.gguf"), CHATML));
    assert_eq!(rendered(&heard), clean);
    worker.hear_ready();
    let answer = worker.answer(question(1, PROMPT));
    assert_eq!(answer.text, ANSWER);
    // It is a template that would have done harm.
    assert!(texts(&printed(model, &poison))[0].text.contains("xyzzy"));
}

#[test]
fn p6_a_measurement_is_made_on_made_up_text_and_leaves_nothing_to_callers() {
    let measure = Some(Measure { streams: 4, time_max_ms: 20_000 });
    let trial = Trial { checks: vec![check(ANSWER)], measure };
    let (mut worker, heard) = reports(&Setup { trial, slots: 4, ..Setup::default() });
    let Some(Message::Ready(ready)) = heard.last() else { panic!("{heard:?}") };
    let measured = ready.measured.as_ref().expect("measured");
    assert_eq!((measured.streams, ready.checks_passed), (4, 1));
    assert!(measured.millitokens_per_s > 1000 && measured.prompt_millitokens_per_s > 1000, "{measured:?}");
    worker.hear_ready();
    let answer = worker.answer(question(1, PROMPT));
    assert_eq!((answer.text.as_str(), answer.cached()), (ANSWER, 0));
    // More streams than it has slots are as many as it has.
    let trial =
        Trial { checks: Vec::new(), measure: Some(Measure { streams: u32::MAX, time_max_ms: u32::MAX }) };
    let (_worker, heard) = reports(&Setup { trial, slots: 2, ..Setup::default() });
    let Some(Message::Ready(ready)) = heard.last() else { panic!("{heard:?}") };
    assert_eq!(ready.measured.as_ref().expect("measured").streams, 2);
}
