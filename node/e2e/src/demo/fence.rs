//! The demo's middle scenes: the fence is tried, and holds.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use croft_e2e::{E2eError, Fleet, Workstation, api::Api, wait};
use serde_json::Value;

use crate::stage::Stage;

/// A baseline that a planted credential breaks on any machine.
const STRICT_BASELINE: &str = "\
kind: Baseline
name: strict
version: 1
tier: 3
checks:
  self-test:
    mode: block
  production-credentials:
    mode: block
";

/// What gateway and worker tried at their start, and what the kernel answered.
pub fn errnos(stage: &Stage, workstation: &Workstation) -> Result<(), E2eError> {
    let why = workstation.croft_json(&["why"])?;
    let mut tests = Vec::new();
    collect_self_tests(&why, &mut tests);
    for role in ["gateway", "worker"] {
        let test = tests.iter().find(|t| t["subject"].as_str().is_some_and(|s| s.starts_with(role)));
        let attempts = test.and_then(|t| t["observation"]["attempts"].as_array());
        let attempts =
            attempts.ok_or_else(|| E2eError::unexpected(&format!("a self-test of the {role}"), &why))?;
        let lines: Vec<String> = attempts
            .iter()
            .map(|a| {
                let errno = a["errno"].as_str().unwrap_or("NOT REFUSED");
                format!("{} → {errno}", a["name"].as_str().unwrap_or("?"))
            })
            .collect();
        stage.say(&format!("the {role} tried to get out {} times; the kernel answered", lines.len()));
        for row in lines.chunks(4) {
            stage.detail(&row.join(", "));
        }
        if lines.is_empty() || lines.iter().any(|line| line.contains("NOT REFUSED")) {
            return Err(E2eError::unexpected("every attempt refused", lines.join(", ")));
        }
    }
    Ok(())
}

fn collect_self_tests<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            if value["observation"]["attempts"].is_array() {
                found.push(value);
            }
            map.values().for_each(|inner| collect_self_tests(inner, found));
        }
        Value::Array(list) => list.iter().for_each(|inner| collect_self_tests(inner, found)),
        _ => {}
    }
}

/// One flipped bit in the stored model: refused at load, fetched again when the controller is back.
pub fn flipped_byte(stage: &Stage, fleet: &mut Fleet, workstation: &mut Workstation) -> Result<(), E2eError> {
    workstation.stop()?;
    fleet.stop_controller()?;
    let blob = stored_blob(&workstation.state())?;
    flip_a_bit(&blob)?;
    workstation.start()?;
    stage.step("one bit flipped in the stored model: refused at load, controller being away", || {
        wait::until("the corrupt model is refused", 60, || {
            let models = workstation.models().map_err(|e| e.to_string())?.to_string();
            if models.contains("E-BLOB-CORRUPT") && !models.contains("\"loaded\"") {
                Ok(())
            } else {
                Err(models)
            }
        })
    })?;
    fleet.start_controller()?;
    stage.step("controller back: the approved bytes were fetched again and serve", || {
        workstation.wait_until_serving(120)
    })?;
    Ok(())
}

fn stored_blob(state: &Path) -> Result<PathBuf, E2eError> {
    let store = state.join("store/sha256");
    let mut entries = std::fs::read_dir(&store).map_err(E2eError::io("list the store"))?;
    let first = entries.next().and_then(Result::ok).map(|entry| entry.path());
    first.ok_or_else(|| E2eError::unexpected("a blob in the store", store.display()))
}

fn flip_a_bit(path: &Path) -> Result<(), E2eError> {
    use std::os::unix::fs::PermissionsExt;
    let io = || E2eError::io(format!("flip a bit of {}", path.display()));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).map_err(io())?;
    let mut file = std::fs::File::options().read(true).write(true).open(path).map_err(io())?;
    let middle = file.metadata().map_err(io())?.len() / 2;
    let mut byte = [0_u8];
    file.seek(SeekFrom::Start(middle)).map_err(io())?;
    file.read_exact(&mut byte).map_err(io())?;
    file.seek(SeekFrom::Start(middle)).map_err(io())?;
    file.write_all(&[byte[0] ^ 1]).map_err(io())
}

/// A second workstation, on which production credentials lie about, gets no lease and answers 403.
pub fn no_lease(stage: &Stage, fleet: &Fleet, folder: &Path) -> Result<(), E2eError> {
    fleet.apply(STRICT_BASELINE)?;
    fleet.ctl(&["assign", "baseline", "strict@1", "--group", "strict", "--tier", "3"])?;
    let mut other = Workstation::new(&folder.join("strict"))?;
    let aws = other.folder.join("home/.aws");
    std::fs::create_dir_all(&aws).map_err(E2eError::io("plant a credential"))?;
    std::fs::write(aws.join("config"), "[profile acme-production]\nregion = eu-central-1\n")
        .map_err(E2eError::io("plant a credential"))?;
    other.start()?;
    let output = fleet.ctl(&["invite", "create", "--group", "strict"])?;
    let invite =
        output.stdout.split_whitespace().find(|w| w.starts_with("croft1.")).unwrap_or_default().to_owned();
    other.enroll(&invite)?;
    other.wait_until_refusing("E-NOT-COMPLIANT", 60)?;
    let refused = Api::new(&other.gateway(), Some(&other.api_key()?)).ask("hello")?;
    if refused.status != 403 {
        return Err(E2eError::unexpected("403", format!("{} {}", refused.status, refused.body)));
    }
    stage.say("a workstation with production credentials gets no lease; its local API answers 403");
    stage.detail(refused.body["error"]["message"].as_str().unwrap_or_default());
    other.stop()
}

/// A recall unloads the model at once; a new version brings it back.
pub fn recall(stage: &Stage, fleet: &Fleet, workstation: &Workstation) -> Result<(), E2eError> {
    let api = Api::new(&workstation.gateway(), Some(&workstation.api_key()?));
    stage.step("recalled: from the admin's command to the model's refusal", || {
        fleet.ctl(&["recall", "starter@1", "--reason", "demonstration"])?;
        wait::until("the recalled model is refused", 30, || {
            let answer = api.ask("hello").map_err(|e| e.to_string())?;
            let models = workstation.models().map_err(|e| e.to_string())?.to_string();
            if answer.status >= 400 && models.contains("recalled") {
                Ok(answer)
            } else {
                Err(format!("{} {models}", answer.status))
            }
        })
    })?;
    stage.step("version 2 approved and published: it serves again", || {
        fleet.publish_bundle("starter", 2, &croft_e2e::controller::starter_model())?;
        fleet.ctl(&["assign", "bundle", "starter@2", "--group", "dev"])?;
        workstation.wait_until_serving(120)
    })?;
    Ok(())
}
