//! Starting one worker: what its model's header says, and what the process is given.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use croft_domain::code::Code;
use croft_domain::memory::{MemoryPlan, ModelShape};
use croft_proto::frames::Measure;
use croft_vetting::gguf;
use rustix::fs::{MemfdFlags, memfd_create};

use super::{Keeper, WORKER_NAME};
use crate::failure::Failure;
use crate::limits::{MEMORY_SLACK_BYTES, MEMORY_THREAD_BYTES};
use crate::spawn::{Launch, Output, Process, Program, launch};
use crate::supervisor::gateway::House;
use crate::supervisor::packets::{Packets, channel};
use crate::supervisor::trial;
use crate::supervisor::{LoadOrder, Programs};

const SLOT_FD: i32 = 3;
const REPORT_FD: i32 = 4;
const TEMPLATE_FD: i32 = 5;
const TRIAL_FD: i32 = 6;
/// The first of the model's files; the others follow.
const MODEL_FD: i32 = 7;

/// Reads the header of a model whose every byte was verified just before. Of shards the first says what the model is, and
/// each what its tensors take.
///
/// # Errors
/// `E-VET-REFUSED` if a file has none.
pub fn measure(model: &[File]) -> Result<ModelShape, Failure> {
    let mut shapes = model.iter().map(measure_one);
    let none = || Failure::new(Code::BlobMissing, "the model has no files");
    let mut whole = shapes.next().ok_or_else(none)??;
    for part in shapes {
        whole = whole.with_part(&part?);
    }
    Ok(whole)
}

fn measure_one(mut model: &File) -> Result<ModelShape, Failure> {
    let failed = |e: std::io::Error| Failure::caused(Code::BlobMissing, &e);
    let len_bytes = model.metadata().map_err(failed)?.len();
    model.seek(SeekFrom::Start(0)).map_err(failed)?;
    let shape = gguf::measure(BufReader::new(model), len_bytes);
    shape.ok_or_else(|| Failure::new(Code::VetRefused, "the file has no header of a model"))
}

/// The most that a worker may allocate of its own, in bytes. A little more than planned: what it is given at last is
/// address space, of which allocators and stacks take more than they fill.
pub fn own_bytes_max(plan: &MemoryPlan, shape: &ModelShape, programs: &Programs) -> u64 {
    let own = plan.own_bytes();
    // Any model may be asked for vectors, which makes a second set of buffers.
    let vectors = if shape.embeds { 0 } else { shape.vectors_bytes() };
    own.saturating_add(own / 4)
        .saturating_add(vectors)
        .saturating_add(MEMORY_SLACK_BYTES)
        .saturating_add(u64::from(programs.threads).saturating_mul(MEMORY_THREAD_BYTES))
}

/// Counts workers of this daemon, across all slots, so that no two share a number.
pub fn next_generation() -> u32 {
    static GENERATION: AtomicU32 = AtomicU32::new(1);
    GENERATION.fetch_add(1, Ordering::Relaxed)
}

/// What a worker is born with.
pub struct Birth<'a> {
    /// Which model.
    pub order: &'a LoadOrder,
    /// What workers may take.
    pub programs: &'a Programs,
    /// Its end of the way to the gateway.
    pub slot: BorrowedFd<'a>,
    /// The executable.
    pub runtime: &'a File,
    /// The verified files.
    pub model: &'a [File],
    /// Its number.
    pub generation: u32,
    /// The most that it may allocate of its own, in bytes.
    pub own_bytes_max: u64,
    /// What it is to measure, if it is not to serve.
    pub measure: Option<Measure>,
}

impl Birth<'_> {
    /// Starts the process; gives it and what it reports.
    ///
    /// # Errors
    /// If the system has no processes, descriptors or memory left.
    pub fn start(&self) -> std::io::Result<(Process, Packets)> {
        let (reports, report_end) = channel().map_err(std::io::Error::other)?;
        // Without an approved template there is nothing to be rendered with: chat is refused then.
        let template = Some(&self.order.template).filter(|template| !template.is_empty());
        let template = template.map(|template| memory_file("template", template.as_bytes())).transpose()?;
        let trial = memory_file("trial", &trial::encode(&self.order.checks, self.measure))?;
        let mut arguments = Vec::new();
        let mut argument = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        argument("--slot-fd", SLOT_FD.to_string());
        argument("--report-fd", REPORT_FD.to_string());
        argument("--trial-fd", TRIAL_FD.to_string());
        let model_fds: Vec<RawFd> = (MODEL_FD..).take(self.model.len()).collect();
        for fd in &model_fds {
            argument("--model-fd", fd.to_string());
        }
        if template.is_some() {
            argument("--template-fd", TEMPLATE_FD.to_string());
        }
        argument("--generation", self.generation.to_string());
        argument("--context", self.order.context_tokens.to_string());
        argument("--slots", self.order.conversations.to_string());
        argument("--threads", self.programs.threads.to_string());
        argument("--kv-type", self.programs.allowance.kv.to_string());
        argument("--memory-bytes", self.own_bytes_max.to_string());
        let mut descriptors = vec![(self.slot, SLOT_FD), (report_end.as_fd(), REPORT_FD)];
        descriptors.push((trial.as_fd(), TRIAL_FD));
        descriptors.extend(template.iter().map(|template| (template.as_fd(), TEMPLATE_FD)));
        descriptors.extend(self.model.iter().map(AsFd::as_fd).zip(model_fds));
        let process = launch(&Launch {
            program: Program::Opened { file: self.runtime.as_fd(), name: WORKER_NAME },
            arguments,
            descriptors,
            capture_output: Output::Discard,
        })?;
        Ok((process, reports))
    }
}

impl Keeper {
    pub(super) fn start(
        &self,
        house: &House,
        runtime: &File,
        model: &[File],
        (generation, own_bytes_max): (u32, u64),
    ) -> std::io::Result<(Process, Packets)> {
        let slot = usize::try_from(self.order.slot).ok().and_then(|index| house.slots.get(index));
        let slot = slot.ok_or_else(|| std::io::Error::other("no such slot"))?;
        let stale = slot.discard_stale()?;
        if stale > 0 {
            tracing::info!(packets = stale, "threw away what a worker that is gone had not read");
        }
        let (order, programs, slot) = (&self.order, self.programs.as_ref(), slot.worker_end().as_fd());
        Birth { order, programs, slot, runtime, model, generation, own_bytes_max, measure: None }.start()
    }
}

fn memory_file(name: &str, bytes: &[u8]) -> std::io::Result<File> {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
