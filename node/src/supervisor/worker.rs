//! Keeps one model loaded: verifies its bytes, starts a worker on a clean slot, and does so again when it ends.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use croft_domain::code::Code;
use croft_link::backoff::Backoff;
use croft_proto::frames::{ToGateway, WorkerDown, WorkerReport, WorkerUp, to_gateway, worker_report};
use rustix::fs::{MemfdFlags, memfd_create};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::gateway::House;
use super::packets::{Packets, channel};
use super::proof::Proof;
use super::{Event, LoadOrder, Programs, WorkerChange};
use crate::failure::Failure;
use crate::limits::{LOAD_TIMEOUT, RESTART_MAX, RESTART_MIN, RESTART_RESET_AFTER, STOP_GRACE};
use crate::spawn::{Launch, Output, Process, Program, describe, launch};

/// What a worker is called in lists of processes.
pub(super) const WORKER_NAME: &str = "croft-worker";

const SLOT_FD: i32 = 3;
const REPORT_FD: i32 = 4;
const MODEL_FD: i32 = 5;
const TEMPLATE_FD: i32 = 6;

/// Keeps one model loaded until cancelled.
pub struct Keeper {
    /// Which model, where.
    pub order: LoadOrder,
    /// Executables.
    pub programs: Arc<Programs>,
    /// The running gateway.
    pub house: watch::Receiver<Option<Arc<House>>>,
    /// Where we tell what happened.
    pub events: mpsc::Sender<Event>,
    /// Ends it.
    pub cancel: CancellationToken,
}

impl Keeper {
    /// Runs until cancelled.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
        loop {
            let cancel = self.cancel.clone();
            let house = tokio::select! {
                () = cancel.cancelled() => return,
                house = self.house.wait_for(Option::is_some) => match house {
                    Ok(house) => house.clone(),
                    Err(_) => return,
                },
            };
            let Some(house) = house else { continue };
            let began = Instant::now();
            let failure = self.serve_once(&house).await;
            if cancel.is_cancelled() {
                return;
            }
            tracing::warn!(bundle = %self.order.bundle, code = %failure.code(), detail = failure.message(), "worker down");
            house.tell(ToGateway {
                message: Some(to_gateway::Message::WorkerDown(WorkerDown {
                    slot: self.order.slot,
                    code: failure.code().to_string(),
                    message: failure.message().to_owned(),
                })),
            });
            drop(house);
            let change = WorkerChange::Down { code: failure.code(), message: failure.message().to_owned() };
            self.tell(change).await;
            if began.elapsed() > RESTART_RESET_AFTER {
                backoff.reset();
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    async fn tell(&self, change: WorkerChange) {
        let _ = self.events.send(Event::Worker { bundle: self.order.bundle.clone(), change }).await;
    }

    /// One worker from start to end. Gives the reason of its end.
    async fn serve_once(&mut self, house: &Arc<House>) -> Failure {
        let open = Arc::clone(&self.order.open);
        let model = match tokio::task::spawn_blocking(move || open()).await {
            Ok(Ok(model)) => model,
            Ok(Err(failure)) => return failure,
            Err(e) => return Failure::caused(Code::Internal, &e),
        };
        let runtime = match self.programs.worker.open().await {
            Ok(runtime) => runtime,
            Err(failure) => return failure,
        };
        let generation = next_generation();
        let (mut process, mut reports) = match self.start(house, &runtime, &model, generation) {
            Ok(started) => started,
            Err(e) => return Failure::caused(Code::WorkerCrashed, &e),
        };
        drop(model);
        self.tell(WorkerChange::Started { pid: process.pid() }).await;
        let failure = tokio::select! {
            () = self.cancel.cancelled() => Failure::new(Code::ModelUnknown, "unloaded"),
            failure = self.accompany(&mut process, &mut reports, house, generation) => failure,
        };
        process.stop(STOP_GRACE).await;
        failure
    }

    fn start(
        &self,
        house: &House,
        runtime: &File,
        model: &File,
        generation: u32,
    ) -> std::io::Result<(Process, Packets)> {
        let slot = usize::try_from(self.order.slot).ok().and_then(|index| house.slots.get(index));
        let slot = slot.ok_or_else(|| std::io::Error::other("no such slot"))?;
        let stale = slot.discard_stale()?;
        if stale > 0 {
            tracing::info!(packets = stale, "threw away what a worker that is gone had not read");
        }
        let (reports, report_end) = channel().map_err(std::io::Error::other)?;
        let template = template_file(&self.order.template)?;
        let mut arguments = Vec::new();
        let mut argument = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        argument("--slot-fd", SLOT_FD.to_string());
        argument("--report-fd", REPORT_FD.to_string());
        argument("--model-fd", MODEL_FD.to_string());
        argument("--template-fd", TEMPLATE_FD.to_string());
        argument("--generation", generation.to_string());
        argument("--context", self.order.context_tokens.to_string());
        argument("--slots", self.order.conversations.to_string());
        argument("--threads", self.programs.threads.to_string());
        let process = launch(&Launch {
            program: Program::Opened { file: runtime.as_fd(), name: WORKER_NAME },
            arguments,
            descriptors: vec![
                (slot.worker_end().as_fd(), SLOT_FD),
                (report_end.as_fd(), REPORT_FD),
                (model.as_fd(), MODEL_FD),
                (template.as_fd(), TEMPLATE_FD),
            ],
            capture_output: Output::Discard,
        })?;
        Ok((process, reports))
    }

    async fn accompany(
        &self,
        process: &mut Process,
        reports: &mut Packets,
        house: &Arc<House>,
        generation: u32,
    ) -> Failure {
        let loaded = tokio::time::timeout(LOAD_TIMEOUT, self.hear(reports, house, generation)).await;
        let refused = loaded
            .unwrap_or_else(|_| Some(Failure::new(Code::WorkerCrashed, "the model was not loaded in time")));
        if let Some(failure) = refused {
            return failure;
        }
        match process.wait().await {
            Ok(status) => Failure::new(Code::WorkerCrashed, format!("the worker {}", describe(status))),
            Err(e) => Failure::caused(Code::Internal, &e),
        }
    }

    /// Hears the worker until it is ready, or closes its end; gives its refusal, if it refused.
    async fn hear(&self, reports: &mut Packets, house: &Arc<House>, generation: u32) -> Option<Failure> {
        loop {
            let report = match reports.receive::<WorkerReport>().await {
                Ok(Some(report)) => report,
                Ok(None) => return None,
                Err(e) => return Some(Failure::caused(Code::WorkerCrashed, &e)),
            };
            match report.message {
                Some(worker_report::Message::SelfTest(test)) => {
                    let proof = Proof::of(test);
                    let open = (!proof.holds()).then(|| proof.open());
                    self.tell(WorkerChange::Proof(proof)).await;
                    if let Some(open) = open {
                        // The worker refuses by itself; we do not rely on that.
                        return Some(Failure::new(Code::SandboxUnproven, open));
                    }
                }
                Some(worker_report::Message::Progress(progress)) => {
                    self.tell(WorkerChange::Progress { percent: progress.percent.min(100) }).await;
                }
                Some(worker_report::Message::Refusal(refusal)) => return Some(refusal_of(&refusal)),
                Some(worker_report::Message::Ready(ready)) => {
                    let up = WorkerUp { slot: self.order.slot, generation };
                    house.tell(ToGateway { message: Some(to_gateway::Message::WorkerUp(up)) });
                    self.tell(WorkerChange::Ready { load_ms: ready.load_ms }).await;
                    return None;
                }
                Some(worker_report::Message::Alive(_)) | None => {}
            }
        }
    }
}

fn refusal_of(refusal: &croft_proto::frames::WorkerRefusal) -> Failure {
    let known = Code::ALL.iter().copied().find(|code| code.as_str() == refusal.code);
    let message: String = refusal.message.chars().take(512).collect();
    Failure::new(known.unwrap_or(Code::WorkerCrashed), message)
}

/// Counts workers of this daemon, across all slots, so that no two share a number.
fn next_generation() -> u32 {
    static GENERATION: AtomicU32 = AtomicU32::new(1);
    GENERATION.fetch_add(1, Ordering::Relaxed)
}

fn template_file(source: &str) -> std::io::Result<File> {
    let mut file = File::from(memfd_create("template", MemfdFlags::CLOEXEC)?);
    file.write_all(source.as_bytes())?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}
