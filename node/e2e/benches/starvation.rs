//! What a second caller waits for while a greedy one keeps twelve long requests running and waiting: the time to its first
//! token, by the time that its whole request takes alone. Prints a table for `docs/BENCHMARKS.md`; asserts nothing.
//!
//! As root, for two callers without a key take two accounts; elsewhere it says so and ends.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use croft_e2e::api::Api;
use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::{E2eError, Fleet, Workstation};
use rustix::process::{Uid, getuid};
use rustix::thread::set_thread_res_uid;
use serde_json::json;

/// The second caller's account.
const ANNA: u32 = 4_242;
/// Requests that the greedy caller keeps open.
const GREEDY: usize = 12;
/// Requests of the second caller, alone and beside the greedy one.
const REPETITIONS: usize = 20;

fn main() -> Result<(), E2eError> {
    if !getuid().is_root() {
        println!("starvation: run as root, so that there can be two callers");
        return Ok(());
    }
    let folder = tempfile::tempdir().map_err(E2eError::io("make a temporary folder"))?;
    let fleet = Fleet::start(&folder.path().join("fleet"))?;
    fleet.publish_starter(REPORTING_BASELINE)?;
    let mut station = Workstation::new(&folder.path().join("workstation"))?;
    station.configure(&format!("uids = [{ANNA}]\n"))?;
    station.start()?;
    station.enroll(&fleet.invite(&[])?)?;
    station.wait_until_serving(120)?;
    let key = station.api_key()?;
    let (alone, beside) = std::thread::scope(|scope| {
        let alone = scope.spawn(|| as_anna(&station)).join();
        let done = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            for _ in 0..GREEDY {
                scope.spawn(|| be_greedy(&Api::new(&station.gateway(), Some(&key)), &done));
            }
            let beside = scope.spawn(|| as_anna(&station)).join();
            done.store(true, Relaxed);
            beside
        });
        (alone, beside)
    });
    let failed = |_| E2eError::unexpected("times", "a thread that panicked");
    let (alone, beside) = (alone.map_err(failed)??, beside.map_err(failed)??);
    let service = median(alone.iter().map(|(_, total)| *total));
    let first_alone = median(alone.iter().map(|(first, _)| *first));
    let first = median(beside.iter().map(|(first, _)| *first));
    let worst = beside.iter().map(|(first, _)| *first).fold(0.0, f64::max);
    println!("| figure, starter model, {GREEDY} long requests of another caller | value |\n|---|---|");
    println!("| whole request alone, median of {REPETITIONS} | {service:.1} ms |");
    println!("| its first token alone | {first_alone:.1} ms |");
    println!("| its first token beside the greedy caller, median | {first:.1} ms |");
    println!("| the same, worst | {worst:.1} ms |");
    println!("| median by the whole request alone (limit 2) | {:.2} |", first / service);
    println!("| worst by the whole request alone | {:.2} |", worst / service);
    station.stop()
}

/// First token and whole time of each request, in milliseconds.
fn as_anna(station: &Workstation) -> Result<Vec<(f64, f64)>, E2eError> {
    let uid = Uid::from_raw(ANNA);
    set_thread_res_uid(uid, uid, uid).map_err(|errno| E2eError::unexpected("another account", errno))?;
    let api = Api::new(&station.gateway(), None);
    let times = (0..REPETITIONS).map(|round| {
        let streamed = api.ask_streaming(&format!("test that add({round}, 3) is {}", round + 3))?;
        Ok((streamed.first.as_secs_f64() * 1e3, streamed.total.as_secs_f64() * 1e3))
    });
    times.collect()
}

fn be_greedy(api: &Api, done: &AtomicBool) {
    let body = json!({"model": "starter", "prompt": "fn add(", "max_tokens": 400, "ignore_eos": true,
        "context_shift": true});
    while !done.load(Relaxed) {
        // Refused because too many wait: that is the queue at work, and it asks again.
        let _ = api.post("/v1/completions", &body);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
