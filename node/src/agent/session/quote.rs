//! The TPM's word on the boot, bound to one evidence: only the PCRs that the baseline names, only where the ceiling and the
//! owner permit it, and of the firmware's log no words.

use std::io::Read as _;

use croft_domain::collection::Item;
use croft_domain::evidence::Evidence;
use croft_tpm::event_log::{self, Event};
use croft_tpm::limits::EVENT_LOG_LEN_MAX;
use croft_tpm::proof::quote_nonce;

use super::Session;
use crate::controller_client::BootQuote;
use crate::state::files::StateError;
use crate::state::identity::Identity;
use crate::state::node_key::salt_of;

impl Session {
    /// None where there is no TPM key, no PCR is asked for, or it may not be collected.
    pub(super) async fn quote(
        &self,
        identity: &Identity,
        evidence: &Evidence,
        (challenge, payload): (&[u8], &[u8]),
    ) -> Result<Option<BootQuote>, StateError> {
        let selected: Vec<u8> = {
            let memory = self.shared.memory();
            memory.baseline().map(|baseline| baseline.tpm.pcrs.keys().copied().collect()).unwrap_or_default()
        };
        let is_permitted = evidence.collected.contains(&Item::BootMeasurements);
        let Some(tpm) = identity.key.tpm().filter(|_| is_permitted && !selected.is_empty()) else {
            return Ok(None);
        };
        let (tpm, fleet) = (tpm.clone(), salt_of(identity.enrollment.fleet));
        let nonce = quote_nonce(challenge, payload);
        let asked = selected.clone();
        let quoted = tokio::task::spawn_blocking(move || tpm.quote(&fleet, &nonce, &asked)).await;
        let quoted = quoted.map_err(|e| StateError::corrupt(&self.event_log, e))??;
        let events = self.events(&selected);
        Ok(Some(BootQuote { selected, quoted, events }))
    }

    /// What firmware says that it measured; nothing where that cannot be read, which is left to root by most systems.
    fn events(&self, selected: &[u8]) -> Vec<Event> {
        let mut log = Vec::new();
        let opened = std::fs::File::open(&self.event_log);
        let read = opened.and_then(|file| file.take(EVENT_LOG_LEN_MAX + 1).read_to_end(&mut log));
        if read.is_err() || log.is_empty() || log.len() as u64 > EVENT_LOG_LEN_MAX {
            return Vec::new();
        }
        event_log::read(&log, selected).unwrap_or_else(|e| {
            tracing::warn!(error = %e, "quotes go without it");
            Vec::new()
        })
    }
}
