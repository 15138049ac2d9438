//! P10: what a baseline asks for besides the minimum leaves a machine only below the ceiling, and where the ceiling wants
//! it only after its owner's yes.

use croft_e2e::wait;
use serde_json::{Value, json};

use crate::Village;

const GREEDY_BASELINE: &str = "\
kind: Baseline
name: starter
version: 1
tier: 1
checks:
  self-test:
    mode: report
  disk-encryption:
    mode: report
    paths: [/, /srv]
collect: [fact-traces, all-accounts, census-models]
";

/// Waits for evidence that was composed with exactly these items, and gives it.
fn evidence_with(village: &Village, items: &Value) -> Value {
    wait::until("evidence after the answer", 30, || {
        let sent = village.workstation.croft_json(&["privacy"]).map_err(|e| e.to_string())?;
        let last = sent["sent"].as_array().into_iter().flatten().rfind(|message| message["kind"] == "Attest");
        let text = last.and_then(|message| message["content"]["text"].as_str()).ok_or("no evidence yet")?;
        let evidence: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let collected = evidence.get("collected").cloned().unwrap_or_else(|| json!([]));
        if collected == *items { Ok(evidence) } else { Err(text.to_owned()) }
    })
    .expect("evidence")
}

#[test]
fn p10_a_baseline_that_collects_more_waits_for_its_owners_yes_and_a_revocation_ends_it() {
    let village = Village::with(GREEDY_BASELINE, "info");
    let invite = village.fleet.invite(&[]).expect("an invite");
    let station = &village.workstation;
    station.croft(&["enroll", &invite, "--yes", "--ownership", "personal"]).expect("enrollment");
    let evidence = evidence_with(&village, &json!([]));
    assert!(!evidence.to_string().contains("/srv"), "{evidence}");
    let traces = |evidence: &Value| {
        let facts = evidence["facts"].as_array().cloned().unwrap_or_default();
        facts.iter().filter(|fact| fact["trace"].as_array().is_some_and(|lines| !lines.is_empty())).count()
    };
    assert_eq!(traces(&evidence), 0, "{evidence}");
    let status = station.status().expect("a status");
    assert_eq!(status["consent_waiting"], json!(["other-paths", "census-models"]));
    // Guardrails do not wait for the answer, and serving does not either.
    station.wait_until_serving(60).expect("serving");

    station.croft(&["consent", "--yes"]).expect("consent");
    let evidence = evidence_with(&village, &json!(["other-paths", "census-models"]));
    assert!(evidence.to_string().contains("/srv"), "{evidence}");
    assert_eq!(traces(&evidence), 0, "no consent lifts what the ceiling forbids: {evidence}");

    station.croft(&["consent", "--revoke"]).expect("a revocation");
    assert!(!evidence_with(&village, &json!([])).to_string().contains("/srv"));
}
