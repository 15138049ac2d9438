//! Windows: BitLocker by `Get-BitLockerVolume`, and by `manage-bde -status` where that is all there is; the other defenses
//! by cmdlets whose answers are the same in every language.
//!
//! `manage-bde` prints in the system's language. Only the English words count; any others are unknown.

mod bitlocker;

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::fact::DiskState;
use serde::Deserialize;

use super::outputs::Command;
use super::{Answer, Outputs, Platform, Release, said, told};
use crate::posture::disk::DiskFinding;
use crate::posture::endpoint::Defense;

const SHELL: &str = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe";

const fn cmdlet(name: &'static str, arguments: &'static [&'static str]) -> Command {
    Command { name, program: SHELL, arguments }
}

/// What is asked. A list is wrapped, since one entry alone would be printed as an object and none as nothing.
pub(super) const COMMANDS: &[Command] = &[
    cmdlet(
        "bitlocker",
        &[
            "-NoProfile",
            "-Command",
            "ConvertTo-Json -InputObject @(Get-BitLockerVolume | Select-Object MountPoint,VolumeType,VolumeStatus,ProtectionStatus)",
        ],
    ),
    Command { name: "manage-bde", program: r"C:\Windows\System32\manage-bde.exe", arguments: &["-status"] },
    cmdlet(
        "page-files",
        &[
            "-NoProfile",
            "-Command",
            "ConvertTo-Json -InputObject @((Get-CimInstance Win32_PageFileUsage).Name)",
        ],
    ),
    cmdlet(
        "firewall",
        &[
            "-NoProfile",
            "-Command",
            "ConvertTo-Json -InputObject @(Get-NetFirewallProfile -PolicyStore ActiveStore | Select-Object Name,Enabled)",
        ],
    ),
    cmdlet("secure-boot", &["-NoProfile", "-Command", "Confirm-SecureBootUEFI"]),
    Command { name: "time", program: r"C:\Windows\System32\w32tm.exe", arguments: &["/query", "/status"] },
    cmdlet(
        "screen-lock",
        &[
            "-NoProfile",
            "-Command",
            r"(Get-ItemProperty HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System).InactivityTimeoutSecs",
        ],
    ),
    cmdlet(
        "restart",
        &[
            "-NoProfile",
            "-Command",
            r"Test-Path 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired'",
        ],
    ),
    cmdlet(
        "version",
        &[
            "-NoProfile",
            "-Command",
            r"Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion' | Select-Object CurrentBuild,UBR | ConvertTo-Json",
        ],
    ),
];

/// Windows, by what it printed.
#[derive(Clone, Debug)]
pub struct Windows(pub Outputs);

impl Platform for Windows {
    fn disk_method(&self) -> &'static str {
        "bitlocker"
    }

    fn disk(&self, path: &str) -> DiskFinding {
        told(path, self.volume(path))
    }

    fn swaps(&self) -> Option<Vec<DiskFinding>> {
        let files: Vec<String> = serde_json::from_str(self.0.of("page-files").ok()?).ok()?;
        Some(files.iter().map(|file| self.disk(file)).collect())
    }

    fn defenses(&self, _: &Path) -> Vec<Defense> {
        vec![
            said("secure-boot", "Confirm-SecureBootUEFI", self.0.of("secure-boot").and_then(yes_or_no)),
            said("time-sync", "w32tm", self.0.of("time").and_then(time)),
            said("firewall", "Get-NetFirewallProfile", self.0.of("firewall").and_then(firewall)),
            said("screen-lock", "InactivityTimeoutSecs", self.0.of("screen-lock").and_then(screen_lock)),
            said("patches", "RebootRequired", self.0.of("restart").and_then(yes_or_no).map(|waits| !waits)),
        ]
    }

    /// `windows 22631`, and `10.0.22631.3593` as what runs. The build tells Windows 10 from 11; the marketing name does not.
    fn release(&self) -> Option<Release> {
        let Version { current_build: build, ubr } = serde_json::from_str(self.0.of("version").ok()?).ok()?;
        let is_number = !build.is_empty() && build.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| Release {
            system: format!("windows {build}"),
            kernel: Some(format!("10.0.{build}.{ubr}")),
        })
    }

    fn packages(&self, _: &[&str]) -> Option<BTreeMap<String, String>> {
        None
    }
}

impl Windows {
    /// Both tools must agree where both say something.
    fn volume(&self, path: &str) -> Answer<DiskState> {
        let cmdlet = self.0.of("bitlocker").and_then(|text| bitlocker::by_cmdlet(text, path));
        let tool = self.0.of("manage-bde").and_then(|text| bitlocker::by_tool(text, path));
        match (cmdlet, tool) {
            (Ok(one), Ok(other)) if one != other => {
                Err("Get-BitLockerVolume and manage-bde contradict each other")
            }
            (Ok(state), _) => Ok(state),
            // What the first one cannot judge, such as a volume under way, the second must not turn into a pass.
            (Err(why), _) if self.0.of("bitlocker").is_ok() => Err(why),
            (Err(_), tool) => tool,
        }
    }
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "CurrentBuild")]
    current_build: String,
    #[serde(rename = "UBR")]
    ubr: u32,
}

fn yes_or_no(text: &str) -> Answer<bool> {
    match text.trim() {
        "True" => Ok(true),
        "False" => Ok(false),
        _ => Err("neither yes nor no"),
    }
}

/// `Leap Indicator: 3(not synchronized)` stands first, then the stratum; 0 and 16 are none.
fn time(text: &str) -> Answer<bool> {
    let unknown = "w32tm says nothing that is known here; it prints in the system's language";
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().split('(').next());
    let (leap, stratum) = (value("Leap Indicator:"), value("Stratum:"));
    let (leap, stratum) = leap.zip(stratum).ok_or(unknown)?;
    match (leap.trim(), stratum.trim().parse::<u8>()) {
        ("3", Ok(_)) | ("0" | "1" | "2", Ok(0 | 16)) => Ok(false),
        ("0" | "1" | "2", Ok(1..=15)) => Ok(true),
        _ => Err(unknown),
    }
}

#[derive(Deserialize)]
struct Profile {
    #[serde(rename = "Name")]
    name: String,
    /// 0 off, 1 on, 2 not configured.
    #[serde(rename = "Enabled")]
    enabled: u8,
}

/// Every one of the three profiles must be on.
fn firewall(text: &str) -> Answer<bool> {
    let unknown = "the firewall's three profiles are not listed in a way that is known here";
    let profiles: Vec<Profile> = serde_json::from_str(text).map_err(|_| unknown)?;
    let state =
        |name: &str| profiles.iter().find(|profile| profile.name == name).map(|profile| profile.enabled);
    let states = ["Domain", "Private", "Public"].map(state);
    if states.contains(&Some(0)) {
        return Ok(false);
    }
    if states == [Some(1); 3] { Ok(true) } else { Err(unknown) }
}

/// Seconds until the machine locks itself; without that policy it is each person's own matter and cannot be seen.
fn screen_lock(text: &str) -> Answer<bool> {
    match text.trim().parse::<u32>() {
        Ok(1..) => Ok(true),
        _ => Err("no policy locks the screen, and each account's own setting is not seen"),
    }
}
