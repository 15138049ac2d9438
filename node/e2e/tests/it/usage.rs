//! Counters from requests to the report: by model and class of data, by kind of content, and nothing about few.

use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::process::Output;
use croft_e2e::wait;
use serde_json::{Value, json};

use crate::Village;

const CARD: &str = "4111 1111 1111 1111";

fn village(collect: &str) -> Village {
    let rules = "data_classes:\n  payment-cards: redact\n  email-addresses: block\n";
    let village = Village::with(&format!("{REPORTING_BASELINE}{rules}{collect}"), "info");
    let invite = village.fleet.invite(&[]).expect("an invite");
    let enroll = ["enroll", &invite, "--yes", "--ownership", "personal"];
    village.workstation.croft(&enroll).expect("enrollment");
    village.workstation.wait_until_serving(60).expect("serving");
    village
}

/// Three requests for internal data, one for public data; one is redacted and one refused.
fn use_models(village: &Village) {
    let key = village.workstation.api_key().expect("a key");
    let url = format!("{}/v1/chat/completions", village.workstation.gateway());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    for (class, text, status) in [
        (None, "hello", 200),
        (Some("internal"), "hello", 200),
        (None, CARD, 200),
        (Some("public"), "hello", 200),
        (Some("public"), "jane@acme.io", 403),
    ] {
        let body = json!({"model": "chat", "max_tokens": 2, "messages": [{"role": "user", "content": text}]});
        let mut request = agent.post(&url).header("authorization", format!("Bearer {key}"));
        if let Some(class) = class {
            request = request.header("x-croft-data-class", class);
        }
        let answer =
            request.header("content-type", "application/json").send(body.to_string()).expect("an answer");
        assert_eq!(answer.status(), status, "{class:?} {text}");
    }
}

/// Counters of evidence as it was sent, summed over all that was sent: a count goes out once.
fn sent(village: &Village) -> Vec<Value> {
    let shown = village.workstation.croft_json(&["privacy"]).expect("what was sent");
    let of_evidence =
        shown["sent"].as_array().expect("a list").iter().filter(|message| message["kind"] == "Attest");
    of_evidence
        .map(|message| {
            serde_json::from_str(message["content"]["text"].as_str().expect("text")).expect("JSON")
        })
        .collect()
}

/// Gives an answer to what the baseline asks for, after which evidence is sent at once, until all has been told.
fn told(village: &Village) -> Vec<Value> {
    wait::until("everything that was counted is told", 60, || {
        village.workstation.croft(&["consent", "--revoke"]).map_err(|e| e.to_string())?;
        let sent = sent(village);
        let usage =
            || sent.iter().flat_map(|evidence| evidence["usage"].as_array().cloned().unwrap_or_default());
        let sum = |name: &str| usage().map(|count| count[name].as_u64().unwrap_or(0)).sum::<u64>();
        match (sum("requests"), sum("redacted"), sum("blocked")) {
            (4, 1, 1) => Ok(sent.clone()),
            other => Err(format!("{other:?} of {sent:?}")),
        }
    })
    .expect("told")
}

fn report(village: &Village) -> (Value, Output) {
    village.fleet.ctl(&["report", "create"]).expect("a report");
    let json = village.fleet.ctl(&["report", "show", "--format", "json"]).expect("JSON").stdout;
    let html = village.fleet.ctl(&["report", "show", "--format", "html"]).expect("a page");
    (serde_json::from_str(&json).expect("JSON"), html)
}

#[test]
fn p10_a_personal_machine_tells_sums_and_after_consent_classes_and_kinds() {
    let village = village("collect: [usage-classes]\n");
    use_models(&village);
    for evidence in told(&village) {
        for count in evidence["usage"].as_array().expect("a list") {
            assert!(count["data_class"].is_null() && count["model"] == "starter", "{count}");
        }
        assert!(evidence["content"].is_null(), "{evidence}");
    }
    let (json, html) = report(&village);
    let usage = &json["usage"];
    assert_eq!(
        (&usage["nodes"], &usage["amount"]["requests"], &usage["amount"]["blocked"]),
        (&json!(1), &json!(4), &json!(1))
    );
    assert_eq!(
        (&usage["groups"], &usage["content"]),
        (&json!([]), &json!([])),
        "one node is not broken down"
    );
    assert!(html.says("Use of models in the last 31 days"), "{html:?}");
    use_models(&village);
    let content = wait::until("classes and kinds are told", 60, || {
        village.workstation.croft(&["consent", "--yes"]).map_err(|e| e.to_string())?;
        let sent = sent(&village);
        let classes =
            || sent.iter().flat_map(|evidence| evidence["usage"].as_array().cloned().unwrap_or_default());
        let of = |class: &str| -> u64 {
            classes()
                .filter(|count| count["data_class"] == class)
                .map(|count| count["requests"].as_u64().unwrap_or(0))
                .sum()
        };
        let kinds: Vec<Value> =
            sent.iter().flat_map(|e| e["content"].as_array().cloned().unwrap_or_default()).collect();
        match (of("internal"), of("public"), kinds.len()) {
            (3, 1, 2) => Ok(kinds),
            other => Err(format!("{other:?}: {sent:?}")),
        }
    })
    .expect("told");
    // What was told as a sum before is not told again.
    for kind in ["payment-cards", "email-addresses"] {
        assert!(content.contains(&json!({"kind": kind, "requests": 1})), "{content:?}");
    }
    let everything = format!("{:?}", sent(&village));
    assert!(!everything.contains("4111") && !everything.contains("jane"), "{everything}");
}
