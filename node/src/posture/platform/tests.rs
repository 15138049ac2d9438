//! Documented outputs of macOS and Windows, and outputs that must not be taken for a pass.

use croft_domain::fact::DiskState::{self, Encrypted, Plain};
use tempfile::TempDir;

use super::*;

fn outputs(system: System, outputs: &[(&str, &str)]) -> Outputs {
    let outputs = outputs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Outputs { system, outputs: outputs.collect() }
}

/// A captured tree with nothing but such outputs, read back the way that facts take.
fn tree(told: &Outputs) -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(root.path().join("croft")).expect("a folder");
    let json = serde_json::to_vec(told).expect("JSON");
    std::fs::write(root.path().join("croft/outputs.json"), json).expect("a file");
    root
}

fn known(state: DiskState) -> Option<DiskState> {
    (state != DiskState::Unknown).then_some(state)
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
    let told = outputs(System::MacOs, &[("fdesetup", status), ("apfs", list)]);
    known(of(tree(&told).path()).disk("/Users/alice").state)
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
    let on = outputs(System::MacOs, &[("fdesetup", "FileVault is On.\n"), ("apfs", &on)]);
    for elsewhere in ["/Volumes/Stick", "/Network/x", "relative", "/Users/../Volumes/Stick"] {
        assert_eq!(MacOs(on.clone()).disk(elsewhere).state, DiskState::Unknown, "{elsewhere}");
    }
}

fn mac_defense(subject: &str, name: &str, text: &str) -> Option<bool> {
    let told = outputs(System::MacOs, &[(name, text)]);
    let found = of(tree(&told).path()).defenses(Path::new("/Users/alice"));
    found.into_iter().find(|defense| defense.subject == subject).expect("a defense").stands.ok()
}

#[test]
fn p5_each_defense_of_macos_counts_only_in_known_words() {
    let cases: [(&str, &str, &str, Option<bool>); 22] = [
        ("firewall", "firewall", "Firewall is enabled. (State = 1)\n", Some(true)),
        (
            "firewall",
            "firewall",
            "Firewall is blocking all non-essential incoming connections. (State = 2)\n",
            Some(true),
        ),
        ("firewall", "firewall", "Firewall is disabled. (State = 0)\n", Some(false)),
        ("firewall", "firewall", "Firewall is on fire. (State = 7)\n", None),
        (
            "secure-boot",
            "secure-boot",
            "Controller:\n\n  Boot Policy:\n    Secure Boot: Full Security\n",
            Some(true),
        ),
        ("secure-boot", "secure-boot", "    Secure Boot: Reduced Security\n", Some(false)),
        ("secure-boot", "secure-boot", "    Secure Boot: Permissive Security\n", Some(false)),
        ("secure-boot", "secure-boot", "    Sicherer Start: Volle Sicherheit\n", None),
        ("secure-boot", "secure-boot", "Secure Boot: Full Security\nSecure Boot: No Security\n", None),
        ("secure-boot", "secure-boot", "", None),
        ("time-sync", "time", "Network Time: On\n", Some(true)),
        ("time-sync", "time", "Network Time: Off\n", Some(false)),
        ("time-sync", "time", "You need administrator access to run this tool... exiting!\n", None),
        (
            "screen-lock",
            "screen-lock",
            "2026-01-02 03:04:05.678 sysadminctl[812:9123] screenLock delay is immediate\n",
            Some(true),
        ),
        (
            "screen-lock",
            "screen-lock",
            "2026-01-02 03:04:05.678 sysadminctl[812:9123] screenLock delay is 300 seconds\n",
            Some(true),
        ),
        ("screen-lock", "screen-lock", "2026-01-02 sysadminctl[812:9123] screenLock is off\n", Some(false)),
        ("screen-lock", "screen-lock", "screenLock delay is many seconds\n", None),
        ("screen-lock", "screen-lock", "screenLock delay is unknown\n", None),
        ("patches", "updates", "0\n", Some(true)),
        ("patches", "updates", "3\n", Some(false)),
        ("patches", "updates", "The domain/default pair does not exist\n", None),
        ("patches", "updates", "-1\n", None),
    ];
    for (subject, name, text, expected) in cases {
        assert_eq!(mac_defense(subject, name, text), expected, "{text}");
    }
}

#[test]
fn p5_swap_of_macos_must_say_that_it_is_encrypted() {
    let state = |text: &str| {
        let found = MacOs(outputs(System::MacOs, &[("swap", text)])).swaps().expect("an answer");
        known(found[0].state)
    };
    let total = "vm.swapusage: total = 2048.00M  used = 1024.50M  free = 1023.50M";
    assert_eq!(state(&format!("{total}  (encrypted)\n")), Some(Encrypted));
    assert_eq!(state(&format!("{total}\n")), None);
    assert_eq!(state(&format!("{total}  (encrypted) not\n")), None);
    assert_eq!(state("(encrypted)"), None);
    assert!(MacOs(outputs(System::MacOs, &[])).swaps().is_none());
}

#[test]
fn each_system_says_which_it_is() {
    let release = |told: Outputs| {
        let release = of(tree(&told).path()).release()?;
        Some((release.system, release.kernel.expect("a version")))
    };
    let text = "ProductName:\t\tmacOS\nProductVersion:\t\t14.5\nBuildVersion:\t\t23F79\n";
    let mac = |text| release(outputs(System::MacOs, &[("version", text)]));
    assert_eq!(mac(text), Some(("macos 14".to_owned(), "14.5".to_owned())));
    assert_eq!(mac("ProductName: iPhone OS\nProductVersion: 17\n"), None);
    assert_eq!(mac("ProductName: macOS\nProductVersion: next\n"), None);
    let windows = |text| release(outputs(System::Windows, &[("version", text)]));
    let json = "{\r\n    \"CurrentBuild\":  \"22631\",\r\n    \"UBR\":  3593\r\n}\r\n";
    assert_eq!(windows(json), Some(("windows 22631".to_owned(), "10.0.22631.3593".to_owned())));
    assert_eq!(windows(r#"{"CurrentBuild":"","UBR":1}"#), None);
    assert_eq!(windows(""), None);
}

#[test]
fn p5_a_machine_without_these_commands_is_unknown_in_everything() {
    // The real commands, on a machine that has none of them: this one.
    let absent = "/croft-no-such-folder";
    for told in
        [Outputs::ask(System::MacOs, macos::COMMANDS), Outputs::ask(System::Windows, windows::COMMANDS)]
    {
        let platform = of(tree(&told).path());
        assert_eq!(platform.disk("/").state, DiskState::Unknown, "{told:?}");
        assert!(
            platform.defenses(Path::new(absent)).iter().all(|defense| defense.stands.is_err()),
            "{told:?}"
        );
        assert_eq!(platform.defenses(Path::new(absent)).len(), 5);
        assert!(platform.packages(&["x"]).is_none());
    }
}

#[test]
fn outputs_that_are_damaged_are_no_other_system() {
    let told = outputs(System::MacOs, &[]);
    let root = tree(&told);
    std::fs::write(root.path().join("croft/outputs.json"), "{\"system\":\"beos\",\"outputs\":{}}")
        .expect("a file");
    assert_eq!(of(root.path()).disk_method(), "statx+sysfs");
    assert_eq!(of(root.path()).disk("/").state, DiskState::Unknown);
}

#[path = "windows_tests.rs"]
mod windows_tests;
