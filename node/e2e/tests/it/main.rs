//! End-to-end tests: the built binaries, real TLS, real database, real sandbox, real model. One test for each attack or
//! fault, named after it.

mod acceptance;
mod admin_disk;
mod airgap;
mod callers;
mod census;
mod ceremonies;
mod clients;
mod cloned;
mod confinement;
mod consent;
mod disk_full;
mod enrollment;
mod faults;
mod floors;
#[path = "../../../worker/tests/it/gguf.rs"]
#[allow(dead_code)] // Its tiny models are written here, and fewer kinds of them.
mod gguf;
mod hardware;
mod history;
mod imports;
mod integrity;
mod kill_anywhere;
mod leases;
mod main_job;
mod network;
mod notices;
mod playbooks;
mod privacy;
mod quotas;
mod recall;
mod renewal;
mod requests;
mod reranking;
mod reviews;
mod stores;
mod terms;
mod tools;
mod trial;
mod upgrade;
mod usage;
mod variants;
mod waivers;
mod wiretap;
mod workers;

use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::{Fleet, Workstation};
use tempfile::TempDir;

/// A fleet with the starter bundle published, and a workstation whose daemon runs but is not enrolled.
struct Village {
    fleet: Fleet,
    workstation: Workstation,
    // Last, so that processes end before their folder goes.
    folder: TempDir,
}

impl Village {
    fn new() -> Self {
        Self::with(REPORTING_BASELINE, "info")
    }

    /// With this baseline, and a daemon that logs that much.
    fn with(baseline: &str, log: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("croft-e2e-").tempdir().expect("a folder");
        let fleet = Fleet::start(&folder.path().join("fleet")).expect("a fleet");
        fleet.publish_starter(baseline).expect("the starter bundle");
        let mut workstation = Workstation::new(&folder.path().join("workstation")).expect("a workstation");
        workstation.set_log(log);
        workstation.start().expect("a running daemon");
        Self { fleet, workstation, folder }
    }

    /// As `new`, enrolled and serving.
    fn serving() -> Self {
        Self::new().enrolled()
    }

    /// Enrolls, and waits until it serves.
    fn enrolled(self) -> Self {
        let invite = self.fleet.invite(&[]).expect("an invite");
        self.workstation.enroll(&invite).expect("enrollment");
        self.workstation.wait_until_serving(60).expect("serving");
        self
    }

    fn node_id(&self) -> String {
        let status = self.workstation.status().expect("a status");
        status["node_id"].as_str().expect("a node id").to_owned()
    }
}

/// Asserts that a refused command printed its code and a hint, and failed.
#[track_caller]
fn assert_refused(output: &croft_e2e::process::Output, code: &str) {
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains(code), "expected {code}: {output:?}");
    assert!(output.stderr.contains("hint: "), "no hint: {output:?}");
}
