//! Windows: what its tools print in English and otherwise.

use croft_domain::fact::DiskState::{self, Encrypted, Plain};

use super::{known, outputs, tree};
use crate::posture::platform::{Platform, System, Windows, of};

fn by_cmdlet(json: &str, path: &str) -> Option<DiskState> {
    let told = outputs(System::Windows, &[("bitlocker", json)]);
    known(of(tree(&told).path()).disk(path).state)
}

fn volume(point: &str, kind: u32, status: u32, protection: u32) -> String {
    format!(
        r#"{{"MountPoint":"{point}","VolumeType":{kind},"VolumeStatus":{status},"ProtectionStatus":{protection}}}"#
    )
}

#[test]
fn p5_bitlocker_counts_only_when_it_is_complete_and_protects() {
    let c = |status, protection| format!("[{}]", volume("C:", 0, status, protection));
    assert_eq!(by_cmdlet(&c(1, 1), "/"), Some(Encrypted));
    assert_eq!(by_cmdlet(&format!("\u{feff}{}", c(1, 1)), r"C:\Users\alice"), Some(Encrypted));
    assert_eq!(by_cmdlet(&c(1, 0), "/"), Some(Plain), "suspended");
    assert_eq!(by_cmdlet(&c(0, 0), "/"), Some(Plain));
    for unclear in [c(2, 1), c(5, 0), c(1, 2), c(9, 1), "{}".to_owned(), "[]".to_owned(), String::new()] {
        assert_eq!(by_cmdlet(&unclear, "/"), None, "{unclear}");
    }
}

#[test]
fn p5_each_path_is_judged_by_its_own_volume() {
    let both =
        format!("[{},{},{}]", volume("C:", 0, 1, 1), volume("D:", 1, 0, 0), volume(r"C:\\Data\\", 1, 0, 0));
    assert_eq!(by_cmdlet(&both, "/"), Some(Encrypted));
    assert_eq!(by_cmdlet(&both, r"c:\users\alice"), Some(Encrypted));
    assert_eq!(by_cmdlet(&both, r"D:\models"), Some(Plain));
    assert_eq!(by_cmdlet(&both, r"C:\Data\models"), Some(Plain), "a volume that is mounted in a folder");
    assert_eq!(by_cmdlet(&both, r"C:\Database"), Some(Encrypted));
    for elsewhere in [r"E:\x", r"\\server\share", "/var/lib", r"C:\Users\..\Data", ""] {
        assert_eq!(by_cmdlet(&both, elsewhere), None, "{elsewhere}");
    }
    let two_systems = format!("[{},{}]", volume("C:", 0, 1, 1), volume("D:", 0, 0, 0));
    assert_eq!(by_cmdlet(&two_systems, "/"), None);
}

/// As Microsoft's documentation prints it.
const MANAGE_BDE: &str = "BitLocker Drive Encryption: Configuration Tool version 10.0.22621\r\n\
    Copyright (C) 2013 Microsoft Corporation. All rights reserved.\r\n\r\n\
    Disk volumes that can be protected with\r\nBitLocker Drive Encryption:\r\n\
    Volume C: [Windows]\r\n[OS Volume]\r\n\r\n\
    \x20   Size:                 475.83 GB\r\n\
    \x20   BitLocker Version:    2.0\r\n\
    \x20   Conversion Status:    Used Space Only Encrypted\r\n\
    \x20   Percentage Encrypted: 100.0%\r\n\
    \x20   Encryption Method:    XTS-AES 128\r\n\
    \x20   Protection Status:    Protection On\r\n\
    \x20   Lock Status:          Unlocked\r\n\
    \x20   Identification Field: Unknown\r\n\
    \x20   Key Protectors:\r\n        TPM\r\n        Numerical Password\r\n\r\n\
    Volume D: [Protection On]\r\n[Data Volume]\r\n\r\n\
    \x20   Size:                 931.51 GB\r\n\
    \x20   BitLocker Version:    None\r\n\
    \x20   Conversion Status:    Fully Decrypted\r\n\
    \x20   Percentage Encrypted: 0.0%\r\n\
    \x20   Encryption Method:    None\r\n\
    \x20   Protection Status:    Protection Off\r\n\
    \x20   Lock Status:          Unlocked\r\n\
    \x20   Identification Field: None\r\n\
    \x20   Key Protectors:       None Found\r\n";

fn by_tool(text: &str, path: &str) -> Option<DiskState> {
    let told = outputs(System::Windows, &[("manage-bde", text)]);
    known(of(tree(&told).path()).disk(path).state)
}

#[test]
fn p5_manage_bde_is_read_in_english_volume_by_volume() {
    assert_eq!(by_tool(MANAGE_BDE, "/"), Some(Encrypted));
    assert_eq!(by_tool(MANAGE_BDE, r"C:\x"), Some(Encrypted));
    assert_eq!(by_tool(MANAGE_BDE, r"D:\x"), Some(Plain), "a label that says otherwise changes nothing");
    let suspended =
        MANAGE_BDE.replace("Protection Status:    Protection On", "Protection Status:    Protection Off");
    assert_eq!(by_tool(&suspended, "/"), Some(Plain));
}

#[test]
fn p5_manage_bde_in_other_words_never_passes() {
    for (from, to) in [
        // German and French Windows, as their users paste it.
        ("Protection Status:    Protection On", "Schutzstatus:         Der Schutz ist aktiviert."),
        (
            "Conversion Status:    Used Space Only Encrypted",
            "Konvertierungsstatus: Vollst\u{e4}ndig verschl\u{fc}sselt",
        ),
        ("Protection On\r\n    Lock", "Protection activ\u{e9}e\r\n    Lock"),
        ("Volume C: [Windows]", "Volume C : [Windows]"),
        ("[OS Volume]", "[Volume de syst\u{e8}me d\u{2019}exploitation]"),
        ("Used Space Only Encrypted", "Encryption in Progress"),
        ("Used Space Only Encrypted", "Encryption Paused"),
        ("Percentage Encrypted: 100.0%", "Percentage Encrypted: 99.9%"),
        ("Lock Status:          Unlocked", "Lock Status:          Locked"),
        ("Conversion Status:    Used Space Only Encrypted", "Conversion Status:    Unknown"),
        ("Protection Status:    Protection On", "Protection Status:    Unknown"),
        ("Lock Status:", "Protection Status:    Protection On\r\n    Lock Status:"),
        ("Volume C: [Windows]", ""),
    ] {
        let odd = MANAGE_BDE.replacen(from, to, 1);
        assert_ne!(odd, MANAGE_BDE, "{from}");
        assert_ne!(by_tool(&odd, "/"), Some(Encrypted), "{to}");
    }
    for nothing in ["", "ERROR: An attempt to access a required resource was denied.\r\n", "Volume C:"] {
        assert_eq!(by_tool(nothing, "/"), None, "{nothing}");
    }
}

#[test]
fn p5_two_tools_that_contradict_each_other_are_unknown() {
    let state = |json: &str, text: &str| {
        let told = outputs(System::Windows, &[("bitlocker", json), ("manage-bde", text)]);
        known(Windows(told).disk("/").state)
    };
    let json = |status, protection| format!("[{}]", volume("C:", 0, status, protection));
    assert_eq!(state(&json(1, 1), MANAGE_BDE), Some(Encrypted));
    assert_eq!(state(&json(1, 1), ""), Some(Encrypted), "in another language the tool says nothing");
    assert_eq!(state(&json(1, 0), MANAGE_BDE), None);
    assert_eq!(state(&json(2, 1), MANAGE_BDE), None, "under way is not done, whatever the other says");
}

#[test]
fn p5_every_profile_of_the_windows_firewall_must_be_on() {
    let state = |states: [u8; 3]| {
        let profiles = ["Domain", "Private", "Public"].into_iter().zip(states);
        let profiles = profiles.map(|(name, state)| format!(r#"{{"Name":"{name}","Enabled":{state}}}"#));
        defense("firewall", "firewall", &format!("[{}]", profiles.collect::<Vec<_>>().join(",")))
    };
    assert_eq!(state([1, 1, 1]), Some(true));
    assert_eq!(state([1, 0, 1]), Some(false));
    assert_eq!(state([1, 2, 1]), None);
    assert_eq!(defense("firewall", "firewall", r#"[{"Name":"Public","Enabled":1}]"#), None);
    assert_eq!(defense("firewall", "firewall", "Status EIN"), None);
}

fn defense(subject: &str, name: &str, text: &str) -> Option<bool> {
    let told = outputs(System::Windows, &[(name, text)]);
    let found = of(tree(&told).path()).defenses(std::path::Path::new("C:\\Users\\alice"));
    found.into_iter().find(|defense| defense.subject == subject).expect("a defense").stands.ok()
}

#[test]
fn p5_each_other_defense_of_windows_counts_only_in_known_words() {
    let synchronized =
        "Leap Indicator: 0(no warning)\r\nStratum: 4 (secondary reference - syncd by (S)NTP)\r\n";
    let alone =
        "Leap Indicator: 3(not synchronized)\r\nStratum: 0 (unspecified)\r\nSource: Local CMOS Clock\r\n";
    let german = "Sprungindikator: 0(keine Warnung)\r\nStratum: 4 (Sekund\u{e4}rreferenz)\r\n";
    let cases: [(&str, &str, &str, Option<bool>); 15] = [
        ("secure-boot", "secure-boot", "True\r\n", Some(true)),
        ("secure-boot", "secure-boot", "False\r\n", Some(false)),
        ("secure-boot", "secure-boot", "Cmdlet not supported on this platform: 0xC0000002\r\n", None),
        ("time-sync", "time", synchronized, Some(true)),
        ("time-sync", "time", alone, Some(false)),
        ("time-sync", "time", german, None),
        ("time-sync", "time", "Leap Indicator: 0(no warning)\r\nStratum: 0 (unspecified)\r\n", Some(false)),
        ("time-sync", "time", "Leap Indicator: 0(no warning)\r\nStratum: 99\r\n", None),
        ("screen-lock", "screen-lock", "900\r\n", Some(true)),
        ("screen-lock", "screen-lock", "0\r\n", None),
        ("screen-lock", "screen-lock", "", None),
        ("patches", "restart", "True\r\n", Some(false)),
        ("patches", "restart", "False\r\n", Some(true)),
        ("patches", "restart", "Wahr\r\n", None),
        ("patches", "restart", "", None),
    ];
    for (subject, name, text, expected) in cases {
        assert_eq!(defense(subject, name, text), expected, "{text}");
    }
}

#[test]
fn p5_page_files_are_as_safe_as_their_volumes() {
    let states = |files: &str| {
        let json = format!("[{},{}]", volume("C:", 0, 1, 1), volume("D:", 1, 0, 0));
        let told = outputs(System::Windows, &[("bitlocker", &json), ("page-files", files)]);
        Windows(told).swaps().map(|found| found.into_iter().map(|area| area.state).collect::<Vec<_>>())
    };
    assert_eq!(states(r#"["C:\\pagefile.sys","D:\\pagefile.sys"]"#), Some(vec![Encrypted, Plain]));
    assert_eq!(states(r#"["Z:\\pagefile.sys"]"#), Some(vec![DiskState::Unknown]));
    assert_eq!(states("[]"), Some(Vec::new()));
    assert_eq!(states(""), None);
}
