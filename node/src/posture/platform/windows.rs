//! Windows: BitLocker by `Get-BitLockerVolume` as JSON, the firewall by `netsh`.
//!
//! `manage-bde -status` prints in the system's language and is not read.

use croft_domain::fact::DiskState;
use serde::Deserialize;

use super::{Answer, Asked, Platform, output};

const BITLOCKER: &str = "powershell.exe -NoProfile -Command Get-BitLockerVolume | Select-Object MountPoint,VolumeType,VolumeStatus,ProtectionStatus | ConvertTo-Json";
const FIREWALL: &str = "netsh.exe advfirewall show allprofiles state";

/// Windows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    /// 0: the system's own; 1: data.
    volume_type: u32,
    /// 0 fully decrypted, 1 fully encrypted, 2 to 5 under way or paused.
    volume_status: u32,
    /// 0 off, 1 on, 2 unknown (locked).
    protection_status: u32,
}

/// PowerShell writes one volume as an object and several as a list.
#[derive(Deserialize)]
#[serde(untagged)]
enum Volumes {
    One(Volume),
    Many(Vec<Volume>),
}

impl Platform for Windows {
    fn commands(&self) -> &'static [&'static str] {
        &[BITLOCKER, FIREWALL]
    }

    /// Fully encrypted with protection off is suspended: the key lies on the disk in the clear.
    fn disk(&self, outputs: &[Asked<'_>]) -> Answer<DiskState> {
        let volumes = serde_json::from_str(output(outputs, BITLOCKER)?.trim_start_matches('\u{feff}'));
        let volumes = match volumes.map_err(|_| "Get-BitLockerVolume's answer cannot be read")? {
            Volumes::One(volume) => vec![volume],
            Volumes::Many(volumes) => volumes,
        };
        let system = volumes.iter().find(|volume| volume.volume_type == 0);
        let system = system.ok_or("the system's volume is not listed")?;
        match (system.volume_status, system.protection_status) {
            (1, 1) => Ok(DiskState::Encrypted),
            (0 | 1, 0) => Ok(DiskState::Plain),
            (2..=5, _) => Err("BitLocker is being turned on or off, or paused"),
            _ => Err("BitLocker's status is not known"),
        }
    }

    /// The words are the system's language's, so that only the English ones are read. Every profile must be on.
    fn firewall(&self, outputs: &[Asked<'_>]) -> Answer<bool> {
        let states: Vec<Option<bool>> = output(outputs, FIREWALL)?
            .lines()
            .filter_map(|line| line.trim().strip_prefix("State"))
            .map(|state| match state.trim() {
                "ON" => Some(true),
                "OFF" => Some(false),
                _ => None,
            })
            .collect();
        if states.len() < 3 || states.contains(&None) {
            return Err("netsh does not list its three profiles in words that are known here");
        }
        Ok(states.iter().all(|state| *state == Some(true)))
    }
}
