//! macOS: FileVault by `fdesetup status` and `diskutil apfs list -plist`, the other defenses by the command that sets each.

use std::collections::BTreeMap;
use std::path::Path;

use croft_domain::fact::DiskState;

use super::outputs::Command;
use super::{Answer, Outputs, Platform, Release, said, told};
use crate::posture::disk::DiskFinding;
use crate::posture::endpoint::Defense;

const fn command(name: &'static str, program: &'static str, arguments: &'static [&'static str]) -> Command {
    Command { name, program, arguments }
}

/// What is asked.
pub(super) const COMMANDS: &[Command] = &[
    command("fdesetup", "/usr/bin/fdesetup", &["status"]),
    command("apfs", "/usr/sbin/diskutil", &["apfs", "list", "-plist"]),
    command("swap", "/usr/sbin/sysctl", &["vm.swapusage"]),
    command("firewall", "/usr/libexec/ApplicationFirewall/socketfilterfw", &["--getglobalstate"]),
    command("secure-boot", "/usr/sbin/system_profiler", &["SPiBridgeDataType"]),
    command("time", "/usr/sbin/systemsetup", &["-getusingnetworktime"]),
    // It answers on its error output.
    command("screen-lock", "/bin/sh", &["-c", "exec /usr/sbin/sysadminctl -screenLock status 2>&1"]),
    command(
        "updates",
        "/usr/bin/defaults",
        &["read", "/Library/Preferences/com.apple.SoftwareUpdate", "LastRecommendedUpdatesAvailable"],
    ),
    command("version", "/usr/bin/sw_vers", &[]),
];

/// macOS, by what it printed.
#[derive(Clone, Debug)]
pub struct MacOs(pub Outputs);

/// Where other disks and other machines are mounted: FileVault says nothing of them.
const ELSEWHERE: [&str; 4] = ["/Volumes", "/Network", "/net", "/System/Volumes/iSCPreboot"];

impl Platform for MacOs {
    fn disk_method(&self) -> &'static str {
        "fdesetup+diskutil"
    }

    fn disk(&self, path: &str) -> DiskFinding {
        let asked = Path::new(path);
        let is_elsewhere = ELSEWHERE.iter().any(|folder| asked.starts_with(folder));
        let is_plain = asked.is_absolute() && asked.components().all(|part| part.as_os_str() != "..");
        let state = match is_plain && !is_elsewhere {
            true => self.data(),
            false => Err("not on this machine's own data volume, as far as can be seen"),
        };
        told(path, state)
    }

    /// The system makes its swap files as it needs them, and says whether it encrypts them.
    fn swaps(&self) -> Option<Vec<DiskFinding>> {
        let text = self.0.of("swap").ok()?;
        let state = match text.trim().strip_prefix("vm.swapusage: total = ") {
            Some(rest) if rest.ends_with("(encrypted)") => Ok(DiskState::Encrypted),
            Some(_) => Err("the system does not say that it encrypts its swap files"),
            None => Err("sysctl says nothing of swap that is known here"),
        };
        Some(vec![told("/private/var/vm", state)])
    }

    fn defenses(&self, _: &Path) -> Vec<Defense> {
        vec![
            said("secure-boot", "system_profiler", self.0.of("secure-boot").and_then(secure_boot)),
            said("time-sync", "systemsetup", self.0.of("time").and_then(network_time)),
            said("firewall", "socketfilterfw", self.0.of("firewall").and_then(firewall)),
            said("screen-lock", "sysadminctl", self.0.of("screen-lock").and_then(screen_lock)),
            said("patches", "softwareupdate", self.0.of("updates").and_then(updates)),
        ]
    }

    /// `macos 14`, and 14.5 as what runs.
    fn release(&self) -> Option<Release> {
        let text = self.0.of("version").ok()?;
        let value = |key: &str| text.lines().find_map(|line| Some(line.strip_prefix(key)?.trim().to_owned()));
        value("ProductName:").filter(|name| name == "macOS")?;
        let version = value("ProductVersion:")?;
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !version.split('.').all(is_number) {
            return None;
        }
        let major = version.split('.').next()?;
        Some(Release { system: format!("macos {major}"), kernel: Some(version.clone()) })
    }

    fn packages(&self, _: &[&str]) -> Option<BTreeMap<String, String>> {
        None
    }
}

impl MacOs {
    /// Both must agree: `Encryption` of a volume alone can mean a hardware key that anybody's start of the machine opens.
    fn data(&self) -> Answer<DiskState> {
        let status = file_vault(self.0.of("fdesetup")?)?;
        let volumes = data_volumes(self.0.of("apfs")?)?;
        match (status, volumes.as_slice()) {
            (_, []) => Err("no data volume is listed"),
            (true, all) if all.iter().all(|on| *on) => Ok(DiskState::Encrypted),
            (true, _) => Err("FileVault is on, but not on every data volume"),
            (false, all) if all.iter().any(|on| *on) => Err("FileVault is off, but a data volume has it"),
            (false, _) => Ok(DiskState::Plain),
        }
    }
}

/// `Firewall is enabled. (State = 1)`; 2 blocks everything that is not needed.
fn firewall(text: &str) -> Answer<bool> {
    match text.split_once("(State = ").and_then(|(_, rest)| rest.split_once(')')) {
        Some(("1" | "2", _)) => Ok(true),
        Some(("0", _)) => Ok(false),
        _ => Err("socketfilterfw says neither on nor off"),
    }
}

/// The policy of a Mac with a secure enclave; one without has no such line.
fn secure_boot(text: &str) -> Answer<bool> {
    let mut policies = text.lines().filter_map(|line| line.trim().strip_prefix("Secure Boot:"));
    match (policies.next().map(str::trim), policies.next()) {
        (Some("Full Security"), None) => Ok(true),
        (Some("Reduced Security" | "Medium Security" | "Permissive Security" | "No Security"), None) => {
            Ok(false)
        }
        _ => Err("the system's report names no policy of secure boot that is known here"),
    }
}

fn network_time(text: &str) -> Answer<bool> {
    match text.trim() {
        "Network Time: On" => Ok(true),
        "Network Time: Off" => Ok(false),
        _ => Err("systemsetup says neither on nor off; it wants an administrator"),
    }
}

/// `… sysadminctl[PID:TID] screenLock delay is immediate`, or `… is 300 seconds`, or `screenLock is off`.
fn screen_lock(text: &str) -> Answer<bool> {
    let said = text.trim().rsplit_once("] ").map_or(text.trim(), |(_, said)| said);
    let delay = said.strip_prefix("screenLock delay is ");
    let is_seconds = |delay: &str| delay.strip_suffix(" seconds").is_some_and(|n| n.parse::<u32>().is_ok());
    match (said, delay) {
        ("screenLock is off", _) => Ok(false),
        (_, Some(delay)) if delay == "immediate" || is_seconds(delay) => Ok(true),
        _ => Err("sysadminctl does not say when the screen locks"),
    }
}

/// How many recommended updates the last search left waiting.
fn updates(text: &str) -> Answer<bool> {
    let count = text.trim().parse::<u32>().map_err(|_| "no search for updates is on record")?;
    Ok(count == 0)
}

/// `FileVault is On.` and nothing that takes it back. Under way is not done.
fn file_vault(text: &str) -> Answer<bool> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next();
    let rest: Vec<&str> = lines.collect();
    let is_under_way = rest.iter().any(|line| {
        line.starts_with("Encryption in progress")
            || line.starts_with("Decryption in progress")
            || line.starts_with("Deferred enablement")
    });
    match first {
        Some("FileVault is On.") if rest.is_empty() => Ok(true),
        Some("FileVault is Off.") if rest.is_empty() => Ok(false),
        Some("FileVault is On." | "FileVault is Off.") if is_under_way => {
            Err("FileVault is being turned on or off, or waits for a login")
        }
        _ => Err("fdesetup says neither on nor off"),
    }
}

/// Whether FileVault is on, of every volume with the role Data.
fn data_volumes(plist: &str) -> Answer<Vec<bool>> {
    let unreadable = "diskutil's list cannot be read";
    let mut volumes = Vec::new();
    let after_volumes = plist.split("<key>Volumes</key>").skip(1);
    for list in after_volumes {
        let list = list.split_once("<array>").ok_or(unreadable)?.1;
        for volume in dictionaries(list) {
            let is_data = value(volume, "Roles").is_some_and(|roles| roles.contains("<string>Data</string>"));
            if is_data {
                let on = flag(volume, "FileVault").ok_or(unreadable)?;
                let moving = flag(volume, "CryptoMigrationOn").ok_or(unreadable)?;
                volumes.push(on && !moving);
            }
        }
    }
    Ok(volumes)
}

/// The dictionaries of one array, which hold no dictionaries themselves.
fn dictionaries(list: &str) -> impl Iterator<Item = &str> {
    // The array's own end follows the last dictionary, or stands at once if there is none.
    let mut rest = list;
    std::iter::from_fn(move || {
        let begin = rest.trim_start().strip_prefix("<dict>")?;
        let (body, after) = begin.split_once("</dict>")?;
        rest = after;
        Some(body)
    })
}

/// What follows a key, up to the next one.
fn value<'a>(dictionary: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = dictionary.split_once(&format!("<key>{key}</key>"))?;
    Some(rest.split("<key>").next().unwrap_or(rest).trim())
}

fn flag(dictionary: &str, key: &str) -> Option<bool> {
    match value(dictionary, key)? {
        "<true/>" => Some(true),
        "<false/>" => Some(false),
        _ => None,
    }
}
