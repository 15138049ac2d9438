//! A node whose controller is gone is carried a lease: exported evidence, a desk with an offline key, an import.

use std::path::PathBuf;

use croft_e2e::wait;
use serde_json::Value;

use crate::{Village, assert_refused};

impl Village {
    fn carried(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Exports evidence into `name` and gives the file.
    fn export(&self, name: &str) -> String {
        let file = self.carried(name).display().to_string();
        self.workstation.croft(&["evidence", "export", &file]).expect("exported evidence");
        file
    }

    fn issue(&self, evidence: &str, name: &str) -> croft_e2e::process::Output {
        let out = self.carried(name).display().to_string();
        self.fleet
            .try_ctl(&["lease", "issue", evidence, "--group", "dev", "--out", &out])
            .expect("croftctl runs")
    }

    fn import_lease(&self, name: &str) -> croft_e2e::process::Output {
        self.workstation
            .try_croft(&["import", &self.carried(name).display().to_string()])
            .expect("croft runs")
    }
}

#[test]
fn p4_across_an_air_gap_only_the_answer_to_the_last_export_is_a_lease() {
    let mut village = Village::serving();
    village.fleet.ctl(&["lease", "key"]).expect("an offline lease key");
    let first = village.export("first.json");
    assert_eq!(village.issue(&first, "first.lease").code, Some(0));
    // The node hears of the new key as of any signed document; from then on the network is not needed.
    wait::until("the offline lease counts", 60, || {
        let taken = village.import_lease("first.lease");
        if taken.code == Some(0) { Ok(()) } else { Err(taken.stderr) }
    })
    .expect("an imported lease");
    village.fleet.stop_controller().expect("a controller that is gone");
    assert_refused(&village.issue(&first, "again.lease"), "E-EVIDENCE-INVALID");

    let second = village.export("second.json");
    assert_refused(&village.import_lease("first.lease"), "E-EVIDENCE-STALE");
    let issued = village.issue(&second, "second.lease");
    assert_eq!(issued.code, Some(0), "{issued:?}");
    let text = std::fs::read_to_string(village.carried("second.lease")).expect("a lease file");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let lease: Value =
        serde_json::from_str(file["lease"]["payload"].as_str().expect("a payload")).expect("a lease");
    let longer = (lease["expires_at"].as_u64().expect("an end") + 3600).to_string();
    let forged = text.replace(&lease["expires_at"].to_string(), &longer);
    std::fs::write(village.carried("forged.lease"), forged).expect("written");
    assert_refused(&village.import_lease("forged.lease"), "E-TRUST-FORGED");
    std::fs::write(village.carried("no.lease"), "{}").expect("written");
    assert_refused(&village.import_lease("no.lease"), "E-INPUT");

    assert_eq!(village.import_lease("second.lease").code, Some(0));
    let status = village.workstation.wait_until_serving(60).expect("serving without a controller");
    assert_eq!(status["lease_until"], lease["expires_at"]);
    let listed = village.fleet.ctl_json(&["lease", "list"]).expect("the ledger");
    assert_eq!(listed.as_array().map(Vec::len), Some(2), "{listed}");
    let sent = village.workstation.croft(&["privacy"]).expect("what was handed out");
    assert!(sent.says("Export"), "what is exported is shown like what is sent");
}
