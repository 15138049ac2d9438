//! What BitLocker says of one volume.

use croft_domain::fact::DiskState;
use serde::Deserialize;

use super::super::Answer;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    /// `C:`, or a folder that a volume is mounted at.
    mount_point: String,
    /// 0: the system's own; 1: data.
    volume_type: u32,
    /// 0 fully decrypted, 1 fully encrypted, 2 to 5 under way or paused.
    volume_status: u32,
    /// 0 off, 1 on, 2 unknown (locked).
    protection_status: u32,
}

/// `Get-BitLockerVolume` as JSON. Fully encrypted with protection off is suspended: the key lies on the disk in the clear.
pub(super) fn by_cmdlet(text: &str, path: &str) -> Answer<DiskState> {
    let volumes: Vec<Volume> =
        serde_json::from_str(text).map_err(|_| "Get-BitLockerVolume's answer cannot be read")?;
    let volume = chosen(volumes, path, |volume| (&volume.mount_point, volume.volume_type == 0))?;
    match (volume.volume_status, volume.protection_status) {
        (1, 1) => Ok(DiskState::Encrypted),
        (0 | 1, 0) => Ok(DiskState::Plain),
        (2..=5, _) => Err("BitLocker is being turned on or off, or paused"),
        _ => Err("BitLocker's status is not known"),
    }
}

/// One volume of `manage-bde -status`: its letter, its kind, and its lines by name.
struct Section<'a> {
    mount_point: String,
    is_system: bool,
    lines: Vec<(&'a str, &'a str)>,
}

/// `manage-bde -status` in English. Each line of a volume that decides must be there, once, in known words.
pub(super) fn by_tool(text: &str, path: &str) -> Answer<DiskState> {
    let section = chosen(sections(text), path, |section| (&section.mount_point, section.is_system))?;
    let value = |name: &str| {
        let mut values = section.lines.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value);
        values.next().filter(|_| values.next().is_none())
    };
    let status = value("Conversion Status").zip(value("Percentage Encrypted"));
    let protection = value("Protection Status").zip(value("Lock Status"));
    let is_done = match status {
        Some(("Fully Encrypted" | "Used Space Only Encrypted", "100.0%" | "100%")) => Some(true),
        Some(("Fully Decrypted", "0.0%" | "0%")) => Some(false),
        _ => None,
    };
    match (is_done, protection) {
        (Some(true), Some(("Protection On", "Unlocked"))) => Ok(DiskState::Encrypted),
        // Suspended, or never turned on.
        (Some(_), Some(("Protection Off", _))) => Ok(DiskState::Plain),
        _ => Err("manage-bde says nothing that is known here; it prints in the system's language"),
    }
}

fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("Volume ") {
            let letter = rest.split(' ').next().unwrap_or_default().to_owned();
            sections.push(Section { mount_point: letter, is_system: false, lines: Vec::new() });
        } else if let Some(section) = sections.last_mut() {
            let has_letter = matches!(section.mount_point.as_bytes(), [b'A'..=b'Z', b':']);
            section.is_system |= has_letter && line.trim() == "[OS Volume]";
            let pair = line.trim().split_once(':').map(|(name, value)| (name.trim(), value.trim()));
            section.lines.extend(pair);
        }
    }
    sections
}

/// The volume that `path` lies on: the system's own for `/`, else the longest mount point that it begins with.
fn chosen<T>(volumes: Vec<T>, path: &str, about: impl Fn(&T) -> (&str, bool)) -> Answer<T> {
    let place = |point: &str| point.trim_end_matches('\\').to_ascii_lowercase();
    let wanted = place(path);
    let is_below = |point: &str| {
        let point = place(point);
        let rest = wanted.strip_prefix(&point).filter(|_| point.len() >= 2);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('\\'))
    };
    let is_it = |volume: &T| match about(volume) {
        (_, is_system) if path == "/" => is_system,
        (point, _) => is_below(point),
    };
    let mut fitting: Vec<T> = volumes.into_iter().filter(is_it).collect();
    if path.contains("..") || path == "/" && fitting.len() > 1 {
        return Err("BitLocker lists several volumes that this path can mean");
    }
    fitting.sort_by_key(|volume| about(volume).0.len());
    fitting.pop().ok_or("BitLocker lists no volume for this path")
}
