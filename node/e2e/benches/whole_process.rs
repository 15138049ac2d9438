//! Whole-process figures: memory of every process at idle, and what a user and an admin wait for. Prints a table for
//! `docs/BENCHMARKS.md`; asserts nothing.

use std::time::Instant;

use croft_e2e::api::Api;
use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::{E2eError, Fleet, Workstation, wait};

/// Repetitions of what is quick enough to repeat.
const REPETITIONS: usize = 20;

fn main() -> Result<(), E2eError> {
    let folder = tempfile::tempdir().map_err(E2eError::io("make a temporary folder"))?;
    let fleet = Fleet::start(&folder.path().join("fleet"))?;
    fleet.publish_starter(REPORTING_BASELINE)?;
    let mut station = Workstation::new(&folder.path().join("workstation"))?;
    let start = Instant::now();
    station.start()?;
    let daemon_ready = start.elapsed();
    station.enroll(&fleet.invite(&[])?)?;
    let start = Instant::now();
    station.wait_until_serving(120)?;
    let first_serving = start.elapsed();

    println!("| figure | value |\n|---|---|");
    println!("| daemon answers after start | {:.0} ms |", daemon_ready.as_secs_f64() * 1e3);
    println!("| enrolled to serving, model fetched | {:.0} ms |", first_serving.as_secs_f64() * 1e3);
    answers(&station)?;
    memory(&fleet, &station)?;
    idle(&station)?;

    station.stop()?;
    let start = Instant::now();
    station.start()?;
    station.wait_until_serving(120)?;
    println!(
        "| restart to serving, model verified and loaded | {:.0} ms |",
        start.elapsed().as_secs_f64() * 1e3
    );
    recall(&fleet, &station)?;
    station.stop()
}

fn answers(station: &Workstation) -> Result<(), E2eError> {
    let api = Api::new(&station.gateway(), Some(&station.api_key()?));
    let mut first = Vec::new();
    let mut repeated = Vec::new();
    let mut speed = Vec::new();
    for round in 0..REPETITIONS {
        let question = format!("test that add({round}, 3) is {}", round + 3);
        let cold = api.ask_streaming(&question)?;
        let warm = api.ask_streaming(&question)?;
        first.push(cold.first.as_secs_f64() * 1e3);
        repeated.push(warm.first.as_secs_f64() * 1e3);
        let tokens = cold.usage["completion_tokens"].as_f64().unwrap_or_default();
        speed.push((tokens - 1.0) / (cold.total - cold.first).as_secs_f64().max(1e-6));
    }
    println!("| first token, starter model, median of {REPETITIONS} | {:.2} ms |", median(&mut first));
    println!("| first token, exact repeat | {:.2} ms |", median(&mut repeated));
    println!("| decode, one stream | {:.0} tokens/s |", median(&mut speed));
    Ok(())
}

fn memory(fleet: &Fleet, station: &Workstation) -> Result<(), E2eError> {
    let pids = [
        ("controller", fleet.controller_pid()),
        ("daemon", station.pid()),
        ("gateway", Some(station.pid_of("gateway")?)),
        ("worker (starter model)", Some(station.pid_of("worker")?)),
    ];
    for (role, pid) in pids {
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.unwrap_or_default()))
            .map_err(E2eError::io(format!("read the status of {role}")))?;
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_whitespace().nth(1).and_then(|n| n.parse::<f64>().ok()).unwrap_or_default()
        };
        println!(
            "| RSS of {role} at idle (anonymous) | {:.1} ({:.1}) MiB |",
            kib("VmRSS:") / 1024.0,
            kib("RssAnon:") / 1024.0
        );
    }
    Ok(())
}

/// Processor time of the daemon while nothing is asked of it.
fn idle(station: &Workstation) -> Result<(), E2eError> {
    const SECONDS: f64 = 60.0;
    let pid = station.pid().unwrap_or_default();
    let used = || -> Result<f64, E2eError> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .map_err(E2eError::io("read the daemon's times"))?;
        // Behind the name, which can hold anything: utime and stime are fields 14 and 15, in ticks of 1/100 s.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|n| n.parse::<f64>().ok()).unwrap_or_default();
        Ok((ticks(11) + ticks(12)) / 100.0)
    };
    let before = used()?;
    std::thread::sleep(std::time::Duration::from_secs_f64(SECONDS));
    let share = (used()? - before) / SECONDS * 100.0;
    println!("| processor time of the daemon while idle, over {SECONDS} s | {share:.2} % |");
    Ok(())
}

fn recall(fleet: &Fleet, station: &Workstation) -> Result<(), E2eError> {
    let api = Api::new(&station.gateway(), Some(&station.api_key()?));
    let start = Instant::now();
    fleet.ctl(&["recall", "starter@1", "--reason", "benchmark"])?;
    wait::until("the recalled model is refused", 30, || {
        let answer = api.ask("hello").map_err(|e| e.to_string())?;
        if answer.status >= 400 { Ok(()) } else { Err(answer.status.to_string()) }
    })?;
    println!("| recall: command started to refusal | {:.0} ms |", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
