//! Several key holders on several machines, against a real controller with a live node. Each machine is a folder; what
//! travels between them is a file, as `docs/CEREMONIES.md` tells it.

use std::path::{Path, PathBuf};

use croft_e2e::controller::{REPORTING_BASELINE, ctl_at, starter_model, try_ctl_at};
use croft_e2e::{Fleet, Workstation, wait};

use crate::assert_refused;

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A fleet whose root takes two of three, with an enrolled node, and the machine of a second key holder.
struct House {
    fleet: Fleet,
    workstation: Workstation,
    second: PathBuf,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("croft-e2e-").tempdir().expect("a folder");
        let init = ["--root-keys", "3", "--threshold", "2"];
        let fleet = Fleet::start_with(&folder.path().join("fleet"), &init).expect("a fleet");
        fleet.apply(REPORTING_BASELINE).expect("a baseline");
        fleet.ctl(&["assign", "baseline", "starter@1", "--group", "dev"]).expect("a group");
        let mut workstation = Workstation::new(&folder.path().join("workstation")).expect("a workstation");
        workstation.start().expect("a running daemon");
        workstation.enroll(&fleet.invite(&[]).expect("an invite")).expect("enrollment");
        let second = folder.path().join("second");
        Self { fleet, workstation, second, folder }
    }

    /// The second machine makes a key and joins the fleet.
    fn join(&self, role: &str) -> PathBuf {
        ctl_at(&self.second, &["trust", "make-key", role]).expect("a key");
        let export = self.folder.path().join("export.json");
        let said = self.fleet.ctl(&["trust", "export", &text(&export)]).expect("exported").stderr;
        let root = said.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
        let join = |root: &str| {
            ["trust", "join", &text(&export), "--root", root, "--controller", &self.fleet.url()]
                .map(str::to_owned)
        };
        let run = |args: [String; 7]| {
            try_ctl_at(&self.second, &args.each_ref().map(String::as_str)).expect("croftctl runs")
        };
        // Another fleet's digest: nothing is taken over, and the right one is still accepted.
        let wrong = run(join(&format!("sha256:{}", "ab".repeat(32))));
        assert_eq!(wrong.code, Some(1), "{wrong:?}");
        let joined = run(join(root));
        assert_eq!(joined.code, Some(0), "{joined:?}");
        let name = if role == "publisher" { "targets" } else { role };
        self.second.join(format!("keys/{name}.pub"))
    }

    fn handover(&self) -> String {
        text(&self.fleet.ctl_config().join("handover.json"))
    }

    fn theirs(&self) -> String {
        text(&self.second.join("handover.json"))
    }

    fn published(&self, role: &str) -> u64 {
        let roles = self.fleet.ctl_json(&["trust", "status"]).expect("a status");
        let found = roles.as_array().into_iter().flatten().find(|line| line["role"] == role);
        found.and_then(|line| line["version"].as_u64()).expect("a version")
    }

    /// When the node's metadata ends, as it knows.
    fn node_metadata_until(&self) -> u64 {
        self.workstation.status().expect("a status")["metadata_expires_at"].as_u64().expect("a time")
    }
}

#[test]
fn p3_two_of_two_publishers_approve_from_two_machines_and_a_removed_one_counts_no_longer() {
    let house = House::new();
    let fleet = &house.fleet;
    let bob = house.join("publisher");
    let added = ["trust", "add-publisher", &text(&bob), "--name", "bob", "--threshold", "2"];
    let said = fleet.ctl(&added).expect("two of three roots are here").stderr;
    assert!(said.contains("1 of 2 publishers"), "{said}");
    assert_refused(&fleet.try_ctl(&["trust", "publish"]).expect("croftctl runs"), "E-UNAPPROVED");
    ctl_at(&house.second, &["trust", "adopt", &house.handover(), "--sign"]).expect("bob signs");
    fleet.ctl(&["trust", "adopt", &house.theirs()]).expect("taken back");
    fleet.ctl(&["trust", "publish"]).expect("published");
    assert_eq!(house.published("root"), 2);
    let listed = fleet.ctl(&["trust", "status"]).expect("a status").stdout;
    for row in ["targets", "timestamp", "lease key", "recall key", "authority", "admin"] {
        assert!(listed.lines().any(|line| line.starts_with(row)), "{row}: {listed}");
    }

    // One approves, the other looks and approves; before, nothing is published.
    let model = text(&starter_model());
    let import = [
        "bundle",
        "import",
        "starter",
        &model,
        "--version",
        "1",
        "--license",
        "Apache-2.0",
        "--source",
        "made here",
        "--unlisted",
        "--alias",
        "chat",
    ];
    fleet.ctl(&import).expect("imported");
    fleet.ctl(&["bundle", "approve", "starter@1", "--allow-source"]).expect("approved by one");
    assert_refused(
        &fleet.try_ctl(&["bundle", "publish", "starter@1"]).expect("croftctl runs"),
        "E-UNAPPROVED",
    );
    let proposal = ["bundle", "approve", "starter@1", "--proposal", &house.handover()];
    let said = ctl_at(&house.second, &proposal).expect("approved by the other").stderr;
    assert!(said.contains("adds     bundle.starter.1.json"), "{said}");
    fleet.ctl(&["trust", "adopt", &house.theirs()]).expect("taken back");
    fleet.ctl(&["bundle", "publish", "starter@1"]).expect("published");
    let assign = fleet.try_ctl(&["assign", "bundle", "starter@1", "--group", "dev"]).expect("croftctl runs");
    assert_refused(&assign, "E-UNAPPROVED");
    ctl_at(&house.second, &["trust", "adopt", &house.handover(), "--sign"]).expect("bob signs");
    fleet.ctl(&["trust", "adopt", &house.theirs()]).expect("taken back");
    // Repeated, the command finds everything signed and goes on. The node followed the new root all the way.
    fleet.ctl(&["assign", "bundle", "starter@1", "--group", "dev"]).expect("assigned");
    house.workstation.wait_until_serving(60).expect("serving");

    // Taken away, bob's signature is one of nobody.
    fleet.ctl(&["trust", "remove-publisher", "bob"]).expect("removed");
    assert_eq!(house.published("root"), 3);
    let status = fleet.ctl(&["trust", "status"]).expect("a status").stderr;
    assert!(status.contains("targets: 1 of 1 must sign") && !status.contains("bob"), "{status}");
    // What he signs under the root that he knows is not taken over here; under the new one his key signs nothing.
    let alone = ["assign", "baseline", "starter@1", "--group", "evil"];
    let under_old = try_ctl_at(&house.second, &alone).expect("croftctl runs");
    assert_refused(&under_old, "E-UNAPPROVED");
    let taken = fleet.try_ctl(&["trust", "adopt", &house.theirs()]).expect("croftctl runs");
    assert_eq!(taken.code, Some(1), "{taken:?}");
    let export = text(&house.folder.path().join("after.json"));
    fleet.ctl(&["trust", "export", &export]).expect("exported");
    ctl_at(&house.second, &["trust", "adopt", &export]).expect("the new root");
    let under_new = try_ctl_at(&house.second, &alone).expect("croftctl runs");
    assert_refused(&under_new, "E-KEY");
}

#[test]
fn p3_a_freshness_host_holds_its_own_key_and_no_other_and_strangers_seal_nothing() {
    let mut house = House::new();
    let fleet = &house.fleet;
    let key = house.join("freshness");
    fleet.ctl(&["trust", "rotate-root", "--freshness", &text(&key)]).expect("two of three roots are here");
    // The admin's own freshness key counts no longer.
    let refused = fleet.try_ctl(&["trust", "refresh"]).expect("croftctl runs");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    std::fs::remove_file(fleet.ctl_config().join("keys/freshness.pk8")).expect("removed");
    ctl_at(&house.second, &["trust", "refresh", "--handover", &house.handover()]).expect("sealed");
    fleet.ctl(&["trust", "adopt", &house.theirs()]).expect("taken back");
    fleet.ctl(&["trust", "publish"]).expect("published");
    assert_eq!(house.published("root"), 2);
    let until = house.node_metadata_until();

    // From now on the host renews alone: there is no admin's key on it.
    assert!(!house.second.join("keys/admin.pk8").exists());
    let said = ctl_at(&house.second, &["trust", "refresh", "--lifetime", "20d"]).expect("renewed").stderr;
    assert!(said.contains("the controller took the seal"), "{said}");
    // It looks every hour, and when it starts.
    house.workstation.stop().expect("a stopped daemon");
    house.workstation.start().expect("a running daemon");
    wait::until("the node has the new seal", 60, || {
        let now = house.node_metadata_until();
        if now > until { Ok(()) } else { Err(format!("{now} after {until}")) }
    })
    .expect("followed");

    // A stranger with a copy of everything but the key seals nothing, and neither does an old seal.
    let stranger = house.folder.path().join("stranger");
    ctl_at(&stranger, &["trust", "make-key", "freshness"]).expect("a key");
    let export = text(&house.folder.path().join("export.json"));
    let said = fleet.ctl(&["trust", "export", &export]).expect("exported").stderr;
    let root = said.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest");
    ctl_at(&stranger, &["trust", "join", &export, "--root", root, "--controller", &fleet.url()])
        .expect("joined");
    let refused = try_ctl_at(&stranger, &["trust", "refresh"]).expect("croftctl runs");
    assert_eq!(refused.code, Some(1), "{refused:?}");
    // An old copy of the host's folder is not sealed again: its floors lie apart.
    let old = house.folder.path().join("old");
    copy(&house.second.join("repository"), &old);
    ctl_at(&house.second, &["trust", "refresh"]).expect("renewed");
    std::fs::remove_dir_all(house.second.join("repository")).expect("removed");
    std::fs::rename(&old, house.second.join("repository")).expect("put back");
    assert_refused(
        &try_ctl_at(&house.second, &["trust", "refresh"]).expect("croftctl runs"),
        "E-TRUST-ROLLBACK",
    );
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

#[test]
fn the_freshness_hosts_units_are_units_that_systemd_takes() {
    let folder = tempfile::Builder::new().prefix("croft-e2e-").tempdir().expect("a folder");
    let printed = ctl_at(folder.path(), &["trust", "service", "print"]).expect("printed").stdout;
    let (service, timer) =
        printed.split_once("# /etc/systemd/system/croft-freshness.timer").expect("two units");
    for part in ["ExecStart=", "NoNewPrivileges=yes", "--passphrase-file"] {
        assert!(service.contains(part), "{service}");
    }
    assert!(timer.contains("OnCalendar=") && timer.contains("Persistent=true"), "{timer}");
    let paths =
        [("croft-freshness.service", service), ("croft-freshness.timer", timer)].map(|(name, unit)| {
            let path = folder.path().join(name);
            std::fs::write(&path, unit).expect("written");
            path
        });
    // Where there is no systemd, its own judgment cannot be asked; the lines above stand alone.
    let judged = std::process::Command::new("systemd-analyze").arg("verify").args(&paths).output();
    if let Ok(judged) = judged {
        let said = String::from_utf8_lossy(&judged.stderr).into_owned();
        let about_ours =
            said.lines().filter(|line| line.contains("croft-freshness") && !line.contains("User"));
        assert_eq!(about_ours.count(), 0, "{said}");
    }
}
