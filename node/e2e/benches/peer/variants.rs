//! The variant that a node chose by its own measurement beside one that it was given: both through the product, on one
//! workstation, in interleaved pairs of four streams.

use std::path::PathBuf;

use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::{E2eError, Fleet, Workstation, wait};
use serde_json::Value;

use crate::measure::Words;
use crate::ratio::Ratios;
use crate::stream::{Endpoint, aggregate};

/// Streams at a time.
const STREAMS: usize = 4;
/// Tokens of each.
const DECODED: u32 = 128;

/// Compares. The first file is the one that the other side is given; all together are what the node chooses from.
///
/// # Errors
/// Whatever step fails.
pub fn run(files: &[PathBuf], pairs: usize, threads: usize) -> Result<(), E2eError> {
    let folder = tempfile::tempdir().map_err(E2eError::io("make a temporary folder"))?;
    let fleet = Fleet::start(&folder.path().join("fleet"))?;
    fleet.apply(REPORTING_BASELINE)?;
    fleet.ctl(&["assign", "baseline", "starter@1", "--group", "dev", "--tier", "1"])?;
    let given = files.get(..1).unwrap_or_default();
    for (name, files) in [("given", given), ("chosen", files)] {
        publish(&fleet, name, files)?;
    }
    let mut station = Workstation::new(&folder.path().join("workstation"))?;
    station.configure(&format!("[worker]\nthreads = {threads}\n"))?;
    station.start()?;
    station.enroll(&fleet.invite(&[])?)?;
    station.wait_until_serving(300)?;
    let why = wait::until("every variant is measured and one serves", 600, || {
        let models = station.models().map_err(|e| e.to_string())?;
        let of = |name: &str| models["models"].as_array()?.iter().find(|m| m["bundle"] == name).cloned();
        let chosen = of("chosen@1").unwrap_or_default();
        let are_loaded = of("given@1").is_some_and(|given| given["state"] == "loaded");
        if are_loaded && is_settled(&chosen) {
            Ok(chosen["why"].to_string())
        } else {
            Err(models.to_string())
        }
    })?;
    println!("{pairs} pairs of {STREAMS} streams, {DECODED} tokens each, {threads} threads\n{why}\n");
    println!(
        "| figure | chosen, median | given, median | speed over the given (95 %) | aim | reached |\n|---|---|---|---|---|---|"
    );
    let key = station.api_key()?;
    let side =
        |model: &str| Endpoint { base: station.gateway(), key: Some(key.clone()), model: model.into() };
    let (chosen, given) = (side("chosen"), side("given"));
    let (mut ratios, mut words) = (Ratios::of_rate("4 streams together, tokens/s", 1.25), Words::new());
    let mut speed = |side: &Endpoint| -> Result<f64, E2eError> {
        let prompts: Vec<String> = (0..STREAMS).map(|_| words.line(31)).collect();
        Ok(aggregate(&side.complete_all(&prompts, DECODED)?))
    };
    // Once before it counts: what was just loaded has cold pages.
    speed(&chosen)?;
    speed(&given)?;
    for round in 0..pairs {
        if round.is_multiple_of(2) {
            let first = speed(&chosen)?;
            ratios.push(first, speed(&given)?);
        } else {
            let first = speed(&given)?;
            ratios.push(speed(&chosen)?, first);
        }
    }
    println!("{}", ratios.row());
    Ok(())
}

/// Every variant is measured, and none is faster than the one that serves by more than the approver's order outweighs.
fn is_settled(model: &Value) -> bool {
    let Some(variants) = model["variants"].as_array() else { return false };
    let speed = |variant: &Value| variant["tokens_per_s"].as_f64().unwrap_or(0.0);
    let serving = variants.iter().find(|variant| variant["serves"] == true).map_or(0.0, speed);
    model["state"] == "loaded"
        && variants.iter().all(|variant| variant["standing"] == "measured" && speed(variant) * 0.9 <= serving)
}

fn publish(fleet: &Fleet, name: &str, files: &[PathBuf]) -> Result<(), E2eError> {
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let first = files.first().cloned().unwrap_or_default();
    let others: Vec<&str> = files.iter().skip(1).flat_map(|file| ["--variant", file]).collect();
    let import = ["bundle", "import", name, &first, "--license", "Apache-2.0", "--context", "1024"];
    fleet.ctl(
        &[&import[..], &["--slots", "4", "--source", "made for measuring", "--unlisted"], &others].concat(),
    )?;
    let reference = format!("{name}@1");
    fleet.ctl(&["bundle", "approve", &reference, "--allow-source"])?;
    fleet.ctl(&["bundle", "publish", &reference])?;
    fleet.ctl(&["assign", "bundle", &reference, "--group", "dev"]).map(drop)
}
