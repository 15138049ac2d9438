//! The order in which this process gives up its rights, and the proof that it did: confine, bring the back end up,
//! lock down, then try every forbidden call. Nothing of the model or of a prompt is read before the last step.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use croft_confine::{Entry, ResourceLimits, Role};
use llama_cpp_2::llama_backend::LlamaBackend;

use crate::args::Args;
use crate::complaint;
use crate::cpu;
use crate::engine::log;
use crate::fault::Fault;
use crate::inherit::Inherited;
use crate::limits::{MEMORY_BASE_BYTES, MEMORY_TOKEN_BYTES, OPEN_FILES_MAX, PROCESSES_MAX};

/// What the confinement achieved, and what became of each attempt to break out.
#[derive(Clone, Debug)]
pub struct SelfTest {
    /// Layers that stand.
    pub layers: Vec<String>,
    /// Attempts: a name, and the errno that refused it.
    pub attempts: Vec<(String, Option<String>)>,
    /// Level of the processor back end that computes.
    pub cpu: &'static str,
}

impl SelfTest {
    /// The proof, or which attempts were let through. No attempt at all proves nothing.
    ///
    /// # Errors
    /// [`Fault::Unproven`] with the names of the attempts.
    pub fn proven(&self) -> Result<(), Fault> {
        let through: Vec<_> = self
            .attempts
            .iter()
            .filter(|(_, errno)| errno.is_none())
            .map(|(name, _)| name.as_str())
            .collect();
        if self.attempts.is_empty() {
            return Err(Fault::Unproven("no attempt was made".into()));
        }
        if through.is_empty() { Ok(()) } else { Err(Fault::Unproven(through.join(", "))) }
    }
}

/// Gives up every right but to compute and to use the inherited descriptors. Called before any thread exists.
///
/// # Errors
/// [`Fault::Confine`] if a mandatory layer could not be had, [`Fault::Backend`] if llama.cpp did not start.
pub fn confine(args: &Args, inherited: &Inherited) -> Result<(LlamaBackend, SelfTest), Fault> {
    let Inherited { slot, report, model, template, trial } = inherited;
    let mut keep_fds = vec![slot.as_raw_fd(), report.as_raw_fd()];
    keep_fds.extend(model.iter().map(AsRawFd::as_raw_fd));
    keep_fds.extend(template.iter().chain(trial).map(|file| file.as_fd().as_raw_fd()));
    let model_bytes = model.iter().map(|file| file.metadata().map_or(0, |data| data.len())).sum();
    // One file is read through the descriptor that is open already. llama.cpp opens shards by name, so these, and no
    // other, may be opened again.
    let readable: Vec<_> = if model.len() > 1 { model.iter().map(AsFd::as_fd).collect() } else { Vec::new() };
    let data_bytes = args.memory_bytes.unwrap_or_else(|| memory_bytes(args, model_bytes));
    confine_with(keep_fds, &readable, data_bytes, args.cpu.as_deref())
}

/// The same for a process that will serve nothing: `keep_fds` are the descriptors that it needs, and `readable` are those
/// that it may open again; `cpu` as in [`cpu::choose`].
///
/// # Errors
/// As above.
pub fn confine_with(
    mut keep_fds: Vec<RawFd>,
    readable: &[BorrowedFd<'_>],
    data_bytes: u64,
    cpu: Option<&str>,
) -> Result<(LlamaBackend, SelfTest), Fault> {
    if let Some(missing) = cpu::lacks() {
        return Err(Fault::Processor(missing.to_owned()));
    }
    keep_fds.push(complaint::keep_to_ourselves().map_err(Fault::Quiet)?);
    let limits = ResourceLimits {
        data_bytes: Some(data_bytes),
        open_files: Some(OPEN_FILES_MAX + readable.len() as u64 * 3),
        processes: Some(PROCESSES_MAX),
    };
    let entry = Entry { role: Role::Worker, keep_fds: &keep_fds, readable, limits };
    let layers = croft_confine::enter(&entry).map_err(Fault::Confine)?;
    let cpu = cpu::choose(cpu).ok_or_else(|| Fault::Processor(cpu.unwrap_or_default().to_owned()))?;
    let backend = LlamaBackend::init().map_err(Fault::Backend)?;
    log::silence();
    croft_confine::lock_down(Role::Worker).map_err(Fault::Confine)?;
    let attempts = croft_confine::try_to_escape(Role::Worker)
        .into_iter()
        .map(|attempt| (attempt.name.as_str().to_owned(), attempt.errno))
        .collect();
    let layers = layers.names().iter().map(|name| name.as_str().to_owned()).collect();
    Ok((backend, SelfTest { layers, attempts, cpu }))
}

/// A ceiling that no honest model reaches: weights once more, because back ends repack them, and the context.
fn memory_bytes(args: &Args, model_bytes: u64) -> u64 {
    let tokens = u64::from(args.context) * u64::from(args.slots);
    MEMORY_BASE_BYTES
        .saturating_add(model_bytes.saturating_mul(2))
        .saturating_add(tokens.saturating_mul(MEMORY_TOKEN_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(attempts: &[(&str, Option<&str>)]) -> SelfTest {
        let own = |(name, errno): &(&str, Option<&str>)| ((*name).to_owned(), errno.map(str::to_owned));
        SelfTest { layers: Vec::new(), attempts: attempts.iter().map(own).collect(), cpu: cpu::PORTABLE }
    }

    #[test]
    fn p1_one_attempt_that_went_through_is_no_proof() {
        assert!(test(&[("tcp", Some("EPERM")), ("udp", Some("EPERM"))]).proven().is_ok());
        let refused = test(&[("tcp", Some("EPERM")), ("udp", None)]).proven();
        assert!(matches!(refused, Err(Fault::Unproven(names)) if names == "udp"));
        assert!(test(&[]).proven().is_err(), "nothing tried, nothing proven");
    }
}
