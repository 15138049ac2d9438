//! The acceptable-use policy: nothing is served before somebody accepts the signed text, and a new version takes a new
//! yes.

use croft_e2e::api::Api;
use croft_e2e::error::E2eError;
use croft_e2e::{process, wait};

use crate::{Village, assert_refused};

fn baseline(version: u32) -> String {
    format!(
        "kind: Baseline\nname: starter\nversion: {version}\ntier: 1\npolicy: {{name: acceptable-use, version: {version}}}\n\
         checks:\n  self-test:\n    mode: block\n  policy-acceptance:\n    mode: report\n"
    )
}

/// What a request is answered with now.
fn code(village: &Village) -> Result<String, String> {
    let station = &village.workstation;
    let key = station.api_key().map_err(|error| error.to_string())?;
    let answer = Api::new(&station.gateway(), Some(&key))
        .ask("test that add(2, 3) is 5")
        .map_err(|e| e.to_string())?;
    Ok(if answer.status == 200 {
        "200".into()
    } else {
        answer.body["error"]["code"].as_str().unwrap_or("?").into()
    })
}

fn wait_for(village: &Village, expected: &str) {
    wait::until(expected, 60, || match code(village)? {
        code if code == expected => Ok(()),
        other => Err(other),
    })
    .expect(expected);
}

fn publish(village: &Village, version: u32, text: &str) -> process::Output {
    let file = village.folder.path().join(format!("policy-{version}.md"));
    std::fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    village
        .fleet
        .try_ctl(&["policy", "publish", &format!("acceptable-use@{version}"), &file])
        .expect("croftctl")
}

/// Has the group held to that version of the baseline.
fn hold(village: &Village, version: u32) -> Result<(), E2eError> {
    village.fleet.apply(&baseline(version))?;
    let name = format!("starter@{version}");
    village.fleet.ctl(&["assign", "baseline", &name, "--group", "dev", "--tier", "1"]).map(drop)
}

#[test]
fn nothing_is_served_before_somebody_accepts_the_policy_of_that_version() {
    let village = Village::new();
    assert!(hold(&village, 2).is_err(), "a baseline that demands a text which nobody signed");
    let steering = publish(&village, 2, "be kind \u{1b}[2J");
    assert_refused(&steering, "E-INPUT");
    assert_eq!(publish(&village, 2, "# Be kind\nNo customer data.\n").code, Some(0));
    hold(&village, 2).expect("a baseline");
    let invite = village.fleet.invite(&[]).expect("an invite");
    village.workstation.enroll(&invite).expect("enrollment");
    wait_for(&village, "E-POLICY-NOT-ACCEPTED");
    let unasked = village.workstation.try_croft(&["accept-policy"]).expect("croft");
    assert_refused(&unasked, "E-CONSENT-REQUIRED");
    assert!(unasked.stdout.contains("No customer data."), "{unasked:?}");
    let accepted = village.workstation.croft(&["accept-policy", "--yes"]).expect("croft");
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    wait_for(&village, "200");
    let node = village.node_id();
    wait::until("the admin sees it", 60, || {
        let shown = village.fleet.ctl(&["describe", "node", &node]).map_err(|error| error.to_string())?;
        if shown.says("policy-acceptance acceptable-use@2") && !shown.says("fail    policy-acceptance") {
            Ok(())
        } else {
            Err(shown.stdout)
        }
    })
    .expect("in describe");
    assert_refused(&publish(&village, 2, "# Another text\n"), "E-CONFLICT");
    assert_eq!(publish(&village, 3, "# Be kinder\n").code, Some(0));
    hold(&village, 3).expect("a baseline");
    wait_for(&village, "E-POLICY-NOT-ACCEPTED");
    assert_eq!(village.workstation.croft(&["accept-policy", "--yes"]).expect("croft").code, Some(0));
    wait_for(&village, "200");
}
