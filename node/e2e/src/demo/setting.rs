//! The demo's first and last scenes: raising a fleet and a workstation, asking questions, the report, leaving it running.

use std::path::Path;

use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::{E2eError, Fleet, Workstation, api::Api};
use serde_json::json;
use tempfile::TempDir;

use crate::stage::Stage;

/// Held-out prompts: the model never saw their combinations in training.
const QUESTIONS: [&str; 3] = [
    "list the name and email of customers older than 30 sorted by name",
    "three digits, a dash and two uppercase letters",
    "test that add(2, 3) is 5",
];

/// A controller with solo trust and the starter bundle, and an enrolled workstation that serves it.
pub fn raise(stage: &Stage, folder: &Path) -> Result<(Fleet, Workstation), E2eError> {
    let fleet = stage.step("controller started, trust initialized with offline keys", || {
        Fleet::start(&folder.join("fleet"))
    })?;
    stage.detail(&format!("controller {}, metrics {}", fleet.url(), fleet.metrics_url()));
    stage.step(
        "starter bundle imported, vetted in a sandbox, approved, published; baseline published",
        || fleet.publish_starter(REPORTING_BASELINE),
    )?;
    stage.detail("disk encryption is in report mode, so that the demo works on a machine without it; the report says so");
    let invite = fleet.invite(&[])?;
    let mut workstation = Workstation::new(&folder.join("workstation"))?;
    stage.step("node daemon started, gateway confined", || workstation.start())?;
    let preview = workstation.croft(&["enroll", &invite, "--preview"])?;
    for line in preview.stdout.lines().chain(preview.stderr.lines()).take(14) {
        stage.detail(line);
    }
    stage.step("node enrolled with a one-use invite", || workstation.enroll(&invite))?;
    stage.step("attested, leased, model fetched, verified and loaded", || {
        workstation.wait_until_serving(120)
    })?;
    Ok((fleet, workstation))
}

/// Real questions through the OpenAI API, with timings.
pub fn ask_three_questions(stage: &Stage, workstation: &Workstation) -> Result<(), E2eError> {
    let api = Api::new(&workstation.gateway(), Some(&workstation.api_key()?));
    for question in QUESTIONS {
        let streamed = api.ask_streaming(question)?;
        if streamed.text.trim().is_empty() || streamed.error.is_some() {
            return Err(E2eError::unexpected("an answer", format!("{streamed:?}")));
        }
        let tokens = streamed.usage["completion_tokens"].as_u64().unwrap_or_default();
        stage.say(&format!("Q: {question}"));
        stage.detail(&format!("A: {}", streamed.text));
        stage.detail(&format!(
            "first token {:.1} ms, {tokens} tokens in {:.1} ms",
            streamed.first.as_secs_f64() * 1e3,
            streamed.total.as_secs_f64() * 1e3
        ));
    }
    Ok(())
}

/// The compliance report, as the admin gets it.
pub fn report(stage: &Stage, fleet: &Fleet, out: &Path) -> Result<(), E2eError> {
    let html = out.join("report.html");
    stage.step("compliance report written", || {
        fleet.ctl(&["report", "create"])?;
        fleet.ctl(&["report", "show", "--format", "html", "--out", &html.display().to_string()])
    })?;
    let text = std::fs::read_to_string(&html).map_err(E2eError::io("read the report"))?;
    if !text.contains("disk-encryption") {
        return Err(E2eError::unexpected("a report that names its checks", text.len()));
    }
    let shown = html.canonicalize().unwrap_or(html);
    stage.detail(&format!("report: {}", shown.display()));
    Ok(())
}

/// `KEEP=1`: says where everything is and lets it run on.
pub fn leave_running(
    stage: &Stage,
    fleet: Fleet,
    workstation: Workstation,
    folder: TempDir,
    out: &Path,
) -> Result<(), E2eError> {
    let endpoints = json!({
        "controller": fleet.url(),
        "gateway": workstation.gateway(),
        "api_key": workstation.api_key()?,
        "croftctl_config": fleet.ctl_config(),
        "node_state": workstation.state(),
        "node_run": workstation.folder.join("run"),
        "pids": [fleet.controller_pid(), workstation.pid()],
    });
    let file = out.join("endpoints.json");
    let text = serde_json::to_string_pretty(&endpoints).map_err(|e| E2eError::unexpected("JSON", e))?;
    std::fs::write(&file, text).map_err(E2eError::io("write endpoints.json"))?;
    stage.say(&format!("left running; endpoints in {}", file.canonicalize().unwrap_or(file).display()));
    stage.detail("end it with: kill $(the pids in endpoints.json)");
    workstation.keep();
    fleet.keep();
    let _ = folder.keep();
    Ok(())
}
