//! The boot's event log (TCG PC Client Platform Firmware Profile, 10): what was measured, in order, so that PCR values can
//! be explained. Only PCR, type and SHA-256 of each event are kept: what events say in words (the kernel's command line,
//! names of devices) is skipped while reading and never leaves the machine.

use ring::digest::{SHA256, digest};

use crate::error::ProofError;
use crate::limits::{EVENTS_MAX, PCRS};
use crate::public::algorithm;

/// An event that is written down and not measured.
const NO_ACTION: u32 = 3;
/// Begins the one such event that counts: from which locality the TPM was started, which is where PCR 0 begins.
const STARTUP_LOCALITY: &[u8] = b"StartupLocality\0";
/// PCRs that firmware alone extends, and its log explains; into the others the running system measures as well.
pub const FIRMWARE_PCRS: u8 = 8;

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Into which PCR.
    pub pcr: u8,
    /// Of which kind, as the platform's profile numbers them.
    pub kind: u32,
    /// What the PCR was extended with.
    pub sha256: [u8; 32],
}

/// The bytes are no event log with SHA-256 digests, or it has more events than are replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event log cannot be read")]
pub struct Unreadable;

struct Little<'a>(&'a [u8]);

impl<'a> Little<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Unreadable)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, Unreadable> {
        self.take(2)?.try_into().map(u16::from_le_bytes).map_err(|_| Unreadable)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.take(4)?.try_into().map(u32::from_le_bytes).map_err(|_| Unreadable)
    }

    fn len(&mut self) -> Result<usize, Unreadable> {
        usize::try_from(self.u32()?).map_err(|_| Unreadable)
    }
}

/// Reads the measurements of `selected` PCRs out of a log as the kernel shows it (`binary_bios_measurements`).
///
/// # Errors
/// [`Unreadable`].
pub fn read(log: &[u8], selected: &[u8]) -> Result<Vec<Event>, Unreadable> {
    let mut reader = Little(log);
    // The first event has the old form; it says which digests the others have, and of which length.
    reader.take(4 + 4 + 20)?;
    let len = reader.len()?;
    let algorithms = algorithms(reader.take(len)?)?;
    let mut events = Vec::new();
    while !reader.0.is_empty() {
        let pcr = reader.u32()?;
        let kind = reader.u32()?;
        let count = reader.u32()?;
        let mut sha256 = None;
        for _ in 0..count {
            let id = reader.u16()?;
            let (_, len) = algorithms.iter().find(|(known, _)| *known == id).ok_or(Unreadable)?;
            let digest = reader.take(usize::from(*len))?;
            if id == algorithm::SHA256 {
                sha256 = Some(digest.try_into().map_err(|_| Unreadable)?);
            }
        }
        let len = reader.len()?;
        let words = reader.take(len)?;
        let Ok(pcr) = u8::try_from(pcr) else { continue };
        if pcr >= FIRMWARE_PCRS || !selected.contains(&pcr) {
            continue;
        }
        if kind == NO_ACTION {
            let Some(&[locality]) = words.strip_prefix(STARTUP_LOCALITY) else { continue };
            let mut start = [0; 32];
            start[31] = locality;
            sha256 = Some(start);
        }
        if events.len() == EVENTS_MAX {
            return Err(Unreadable);
        }
        events.push(Event { pcr, kind, sha256: sha256.ok_or(Unreadable)? });
    }
    Ok(events)
}

/// The digests of a log and their lengths, from its first event (`TCG_EfiSpecIdEvent`).
fn algorithms(event: &[u8]) -> Result<Vec<(u16, u16)>, Unreadable> {
    let mut reader = Little(event);
    if reader.take(16)? != b"Spec ID Event03\0" {
        return Err(Unreadable);
    }
    reader.take(4 + 4)?;
    let count = reader.u32()?;
    if count > 8 {
        return Err(Unreadable);
    }
    (0..count).map(|_| Ok((reader.u16()?, reader.u16()?))).collect()
}

/// Holds that `events`, replayed, lead to each of `values` that firmware alone measures.
///
/// # Errors
/// [`ProofError::EventLog`] with the first PCR for which they do not.
pub fn replay(events: &[Event], values: &[(u8, [u8; 32])]) -> Result<(), ProofError> {
    let mut pcrs = [[0; 32]; PCRS as usize];
    for event in events {
        let Some(pcr) = pcrs.get_mut(usize::from(event.pcr)) else {
            return Err(ProofError::EventLog(event.pcr));
        };
        if event.kind == NO_ACTION {
            // Where a PCR begins is said before anything is measured into it, and it is one of five localities.
            if *pcr != [0; 32] || event.sha256[..31] != [0; 31] || event.sha256[31] > 4 {
                return Err(ProofError::EventLog(event.pcr));
            }
            *pcr = event.sha256;
        } else {
            let extended = digest(&SHA256, &[*pcr, event.sha256].concat());
            pcr.copy_from_slice(extended.as_ref());
        }
    }
    let differs =
        |(pcr, value): &&(u8, [u8; 32])| *pcr < FIRMWARE_PCRS && pcrs.get(usize::from(*pcr)) != Some(value);
    values.iter().find(differs).map_or(Ok(()), |(pcr, _)| Err(ProofError::EventLog(*pcr)))
}
