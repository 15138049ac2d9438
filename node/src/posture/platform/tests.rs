//! Documented outputs of macOS and Windows, and outputs that must not be taken for a pass.

use croft_domain::fact::DiskState::{self, Encrypted, Plain};

use super::*;

fn asked<'a>(platform: &dyn Platform, outputs: &[&'a str]) -> Vec<Asked<'a>> {
    let commands = platform.commands().iter().copied();
    commands.zip(outputs).map(|(command, output)| Asked { command, output: Some(output) }).collect()
}

fn apfs(volumes: &[(&str, bool, bool)]) -> String {
    let volumes: String = volumes
        .iter()
        .map(|(role, vault, moving)| {
            format!(
                "<dict>\n<key>CryptoMigrationOn</key>\n<{moving}/>\n<key>DeviceIdentifier</key>\n<string>disk3s5</string>\n\
                 <key>Encryption</key>\n<true/>\n<key>FileVault</key>\n<{vault}/>\n<key>Locked</key>\n<false/>\n\
                 <key>Name</key>\n<string>Macintosh HD</string>\n<key>Roles</key>\n<array>\n<string>{role}</string>\n</array>\n</dict>\n"
            )
        })
        .collect();
    format!(
        "<?xml version=\"1.0\"?>\n<plist version=\"1.0\">\n<dict>\n<key>Containers</key>\n<array>\n<dict>\n\
         <key>Volumes</key>\n<array>\n{volumes}</array>\n</dict>\n</array>\n</dict>\n</plist>\n"
    )
}

fn mac(status: &str, list: &str) -> Option<DiskState> {
    MacOs.disk(&asked(&MacOs, &[status, list])).ok()
}

#[test]
fn p5_file_vault_counts_only_when_it_is_on_and_done_on_every_data_volume() {
    let on = apfs(&[("System", false, false), ("Data", true, false)]);
    let off = apfs(&[("System", false, false), ("Data", false, false)]);
    assert_eq!(mac("FileVault is On.\n", &on), Some(Encrypted));
    assert_eq!(mac("FileVault is Off.\n", &off), Some(Plain));
    for status in [
        "FileVault is On.\nEncryption in progress: Percent completed = 42\n",
        "FileVault is On.\nDecryption in progress: Percent completed = 3\n",
        "FileVault is Off.\nDeferred enablement appears to be active for user 'x'.\n",
        "FileVault is On, maybe.\n",
        "",
    ] {
        assert_eq!(mac(status, &on), None, "{status}");
    }
    // A hardware key alone, a second data volume without, a migration, no data volume, no list.
    assert_eq!(mac("FileVault is On.\n", &off), None);
    assert_eq!(mac("FileVault is On.\n", &apfs(&[("Data", true, false), ("Data", false, false)])), None);
    assert_eq!(mac("FileVault is On.\n", &apfs(&[("Data", true, true)])), None);
    assert_eq!(mac("FileVault is On.\n", &apfs(&[("System", true, false)])), None);
    assert_eq!(mac("FileVault is On.\n", "<plist/>"), None);
    assert_eq!(MacOs.disk(&[]).ok(), None);
}

#[test]
fn the_application_firewall_says_its_state_by_number() {
    let state = |text: &str| MacOs.firewall(&asked(&MacOs, &["", "", text])).ok();
    assert_eq!(state("Firewall is enabled. (State = 1)\n"), Some(true));
    assert_eq!(
        state("Firewall is blocking all non-essential incoming connections. (State = 2)\n"),
        Some(true)
    );
    assert_eq!(state("Firewall is disabled. (State = 0)\n"), Some(false));
    assert_eq!(state("Firewall is on fire. (State = 7)\n"), None);
}

fn bitlocker(json: &str) -> Option<DiskState> {
    Windows.disk(&asked(&Windows, &[json])).ok()
}

#[test]
fn p5_bitlocker_counts_only_when_it_is_complete_and_protects() {
    let volume = |kind: u32, status: u32, protection: u32| {
        format!(
            r#"{{"MountPoint":"C:","VolumeType":{kind},"VolumeStatus":{status},"ProtectionStatus":{protection}}}"#
        )
    };
    assert_eq!(bitlocker(&volume(0, 1, 1)), Some(Encrypted));
    assert_eq!(bitlocker(&format!("\u{feff}[{},{}]", volume(1, 0, 0), volume(0, 1, 1))), Some(Encrypted));
    assert_eq!(bitlocker(&volume(0, 1, 0)), Some(Plain), "suspended");
    assert_eq!(bitlocker(&volume(0, 0, 0)), Some(Plain));
    for unclear in
        [volume(0, 2, 1), volume(0, 5, 0), volume(0, 1, 2), volume(1, 1, 1), "{}".to_owned(), String::new()]
    {
        assert_eq!(bitlocker(&unclear), None, "{unclear}");
    }
}

#[test]
fn every_profile_of_the_windows_firewall_must_be_on() {
    let state = |states: [&str; 3]| {
        let profiles = ["Domain", "Private", "Public"];
        let text: String = profiles
            .iter()
            .zip(states)
            .map(|(profile, state)| {
                format!(
                    "\n{profile} Profile Settings:\n-----\nState                                 {state}\n"
                )
            })
            .collect();
        Windows.firewall(&asked(&Windows, &["", &(text + "Ok.\n")])).ok()
    };
    assert_eq!(state(["ON", "ON", "ON"]), Some(true));
    assert_eq!(state(["ON", "OFF", "ON"]), Some(false));
    assert_eq!(state(["ON", "EIN", "ON"]), None);
    assert_eq!(Windows.firewall(&asked(&Windows, &["", "State ON\n"])).ok(), None);
}
