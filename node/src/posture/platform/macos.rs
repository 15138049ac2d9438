//! macOS: FileVault by `fdesetup status` and `diskutil apfs list -plist`, the firewall by `socketfilterfw`.

use croft_domain::fact::DiskState;

use super::{Answer, Asked, Platform, output};

const FDESETUP: &str = "/usr/bin/fdesetup status";
const DISKUTIL: &str = "/usr/sbin/diskutil apfs list -plist";
const FIREWALL: &str = "/usr/libexec/ApplicationFirewall/socketfilterfw --getglobalstate";

/// macOS.
#[derive(Clone, Copy, Debug, Default)]
pub struct MacOs;

impl Platform for MacOs {
    fn commands(&self) -> &'static [&'static str] {
        &[FDESETUP, DISKUTIL, FIREWALL]
    }

    /// Both must agree: `Encryption` of a volume alone can mean a hardware key that anybody's start of the machine opens.
    fn disk(&self, outputs: &[Asked<'_>]) -> Answer<DiskState> {
        let status = file_vault(output(outputs, FDESETUP)?)?;
        let volumes = data_volumes(output(outputs, DISKUTIL)?)?;
        match (status, volumes.as_slice()) {
            (_, []) => Err("no data volume is listed"),
            (true, all) if all.iter().all(|on| *on) => Ok(DiskState::Encrypted),
            (true, _) => Err("FileVault is on, but not on every data volume"),
            (false, all) if all.iter().any(|on| *on) => Err("FileVault is off, but a data volume has it"),
            (false, _) => Ok(DiskState::Plain),
        }
    }

    fn firewall(&self, outputs: &[Asked<'_>]) -> Answer<bool> {
        let text = output(outputs, FIREWALL)?;
        match text.split_once("(State = ").and_then(|(_, rest)| rest.split_once(')')) {
            Some(("1" | "2", _)) => Ok(true),
            Some(("0", _)) => Ok(false),
            _ => Err("socketfilterfw says neither on nor off"),
        }
    }
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
