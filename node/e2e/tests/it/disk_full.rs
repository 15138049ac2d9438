//! A workstation's disk that fills up: told with its code, nothing half-done, and all is well once there is room.

use std::path::{Path, PathBuf};
use std::process::Command;

use croft_e2e::{Workstation, wait};

use crate::{Village, assert_refused};

/// A small disk at a folder, gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, options: &str) -> bool {
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        mounted.is_ok_and(|output| output.status.success())
    }

    fn grow(&self) {
        assert!(Self::mount(&self.0, "remount,size=64m"), "a larger disk");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn p9_a_full_disk_is_told_and_nothing_is_half_done() {
    let mut village = Village::new();
    let folder = village.folder.path().join("small");
    let station = Workstation::new(&folder).expect("a workstation");
    // Room for the first model and never for the second.
    let disk = SmallDisk(station.state().join("store"));
    std::fs::create_dir_all(&disk.0).expect("a folder");
    if !SmallDisk::mount(&disk.0, "size=4m,mode=700") {
        eprintln!("mounting a small disk needs root: a full disk is tested on the admin's side alone here");
        return;
    }
    village.workstation = station;
    village.workstation.start().expect("a running daemon");
    let mut village = village.enrolled();
    let model = croft_e2e::binaries::repository().join("playbooks/starter-model/croft-starter-f16.gguf");
    village.fleet.publish_bundle("starter", 2, &model).expect("a newer bundle");
    village.fleet.ctl(&["assign", "bundle", "starter@2", "--group", "dev"]).expect("assigned");
    wait::until("the full disk is told", 30, || {
        let models = village.workstation.models().map_err(|e| e.to_string())?.to_string();
        if models.contains("E-DISK-FULL") { Ok(()) } else { Err(models) }
    })
    .expect("told");

    let archive = village.folder.path().join("newer.croft").display().to_string();
    village.fleet.ctl(&["bundle", "export", "starter@2", "--out", &archive]).expect("an archive");
    let refused = village.workstation.try_croft(&["import", &archive]).expect("croft runs");
    assert_refused(&refused, "E-DISK-FULL");
    let left: Vec<_> = std::fs::read_dir(disk.0.join("quarantine")).expect("quarantine").collect();
    assert!(left.iter().flatten().all(|entry| !entry.path().ends_with(".incoming")), "{left:?}");
    let stored = std::fs::read_dir(disk.0.join("sha256")).expect("the store").count();
    assert!(stored <= 1, "{stored} blobs in a store that has room for one");

    disk.grow();
    village.fleet.stop_controller().expect("a stopped controller");
    let said = village.workstation.croft(&["import", &archive]).expect("an import");
    assert!(
        said.stdout.contains("starter@2: installed") || said.stdout.contains("was here already"),
        "{said:?}"
    );
    village.workstation.wait_until_serving(60).expect("serving");
    village.workstation.stop().expect("a stopped daemon");
}
