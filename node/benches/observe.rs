//! Processor time of one posture run and one census beside 600 other processes. Prints a table for `docs/BENCHMARKS.md`;
//! asserts nothing.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use croft_domain::baseline::Baseline;
use croft_node::census::{self, Accounts, CensusRequest, Memo, Scan};
use croft_node::posture::{self, CollectRequest};
use rustix::time::{ClockId, clock_gettime};

/// Processes that sleep beside.
const PROCESSES: usize = 600;

/// Repetitions; the median is printed, and the first, which fills caches.
const REPETITIONS: usize = 11;

/// Ended when it goes, so that a panic leaves none behind.
struct Crowd(Vec<Child>);

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn main() {
    let sleep = |_| Command::new("sleep").arg("600").spawn().expect("sleep runs");
    let crowd = Crowd((0..PROCESSES).map(sleep).collect());
    println!("| figure | first | median |\n|---|---|---|");
    let baseline: Baseline = serde_json::from_str(
        r#"{"kind":"Baseline","name":"b","version":1,"tier":3,"checks":{
            "disk-encryption":{"mode":"block","paths":["/","home","store","swap"]},"endpoint":{"mode":"report"},
            "production-credentials":{"mode":"block"},"patch-level":{"mode":"report"}},
            "patches":[{"os":"debian 12","kernel":"6.1.0-1","packages":{"openssl":"3","libc6":"2"}},
            {"os":"debian 13","kernel":"6.12","packages":{"openssl":"3","libc6":"2"}}]}"#,
    )
    .expect("a baseline");
    let home = PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/root".into()));
    report("posture, all checks", || {
        let facts = posture::collect(&CollectRequest {
            baseline: &baseline,
            root: Path::new("/"),
            store: Path::new("/var/lib/croft/store"),
            home: &home,
            gateway_listen: None,
            self_tests: &[],
        });
        assert!(facts.len() > 10);
    });
    let memo = Memo::default();
    report("census, all rules", || {
        let taken = census::take(&CensusRequest {
            accounts: Accounts::All,
            own_ports: &[],
            root: Path::new("/"),
            home: Some(&home),
            catalog: None,
            memo: &memo,
            judge: &|_| Scan::Unknown,
        });
        assert!(taken.is_ok());
    });
    drop(crowd);
}

fn report(what: &str, mut run: impl FnMut()) {
    let mut times: Vec<f64> = (0..REPETITIONS)
        .map(|_| {
            let before = processor_ms();
            run();
            processor_ms() - before
        })
        .collect();
    let first = times[0];
    times.sort_by(f64::total_cmp);
    println!(
        "| {what}, beside {PROCESSES} processes, processor time | {first:.0} ms | {:.0} ms |",
        times[REPETITIONS / 2]
    );
}

/// Processor time of this process, of all its threads, in milliseconds.
fn processor_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}
