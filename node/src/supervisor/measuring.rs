//! How fast a model is here: a worker that is like any other but for its end. It is confined, shows its template and
//! answers its checks, runs on made-up text for some seconds at a low priority, and is ended. It has no gateway to
//! hear, and it leaves at once when somebody needs the processor or the room.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use croft_domain::code::Code;
use croft_domain::memory::{LoadSize, MemoryPlan, ModelShape};
use croft_proto::frames::{Measure, Measured, WorkerReady, WorkerReport, worker_report};

use super::packets::{Packets, pair};
use super::proof::Proof;
use super::room::{Place, Room, Wish};
use super::trial::Shown;
use super::worker::attend::{level, refusal_of};
use super::worker::start::{self, Birth};
use super::{LoadOrder, Programs};
use crate::failure::Failure;
use crate::limits::{LOAD_TIMEOUT, MEASURE_ROOM_TIMEOUT, MEASURE_STREAMS, MEASURE_TIME_MAX, STOP_GRACE};
use crate::spawn::Process;

/// The room's number for whoever is measured; those of the gateway's slots are small.
const SLOT: u32 = u32::MAX;

/// Measures models.
#[derive(Clone)]
pub struct Stopwatch {
    programs: Arc<Programs>,
    room: Arc<Room>,
}

/// What came of a run.
#[derive(Debug)]
pub enum Timed {
    /// It ran: its speed, and the level of its processor back end.
    Done(Measured, String),
    /// The model does not come up on this machine.
    Failed(Failure),
    /// Somebody needs the machine, or it could not be tried: another time.
    Later(Failure),
}

impl Stopwatch {
    /// For models in this room.
    pub(super) const fn new(programs: Arc<Programs>, room: Arc<Room>) -> Self {
        Self { programs, room }
    }

    /// Whether no model was used for so long.
    #[must_use]
    pub fn is_calm(&self, for_at_least: Duration) -> bool {
        self.room.is_calm(Instant::now(), for_at_least)
    }

    /// Runs a model once.
    pub async fn run(&self, order: &LoadOrder) -> Timed {
        match self.attempt(order).await {
            Ok(timed) => timed,
            Err(failure) if is_of_the_model(failure.code()) => Timed::Failed(failure),
            Err(failure) => Timed::Later(failure),
        }
    }

    async fn attempt(&self, order: &LoadOrder) -> Result<Timed, Failure> {
        let open = Arc::clone(&order.open);
        let opened = tokio::task::spawn_blocking(move || {
            let model = open()?;
            let shape = start::measure(&model)?;
            Ok::<_, Failure>((model, shape))
        });
        let (model, shape) = opened.await.map_err(|e| Failure::caused(Code::Internal, &e))??;
        let allowance = &self.programs.allowance;
        let size =
            LoadSize { context_tokens: order.context_tokens, slots: order.conversations, kv: allowance.kv };
        let plan = MemoryPlan::of(&shape, &size);
        let ceiling_bytes = allowance.of_model(self.room.ceiling_bytes());
        plan.fit(ceiling_bytes).map_err(|over| Failure::caused(Code::MemoryPlan, &over))?;
        let entering = self.room.enter(SLOT, plan.total_bytes(), Wish::Wanted);
        let Ok(Some(place)) = tokio::time::timeout(MEASURE_ROOM_TIMEOUT, entering).await else {
            return Ok(Timed::Later(Failure::new(Code::MemoryPlan, "others need the memory")));
        };
        self.time(order, &model, (&plan, &shape), place).await
    }

    async fn time(
        &self,
        order: &LoadOrder,
        model: &[File],
        (plan, shape): (&MemoryPlan, &ModelShape),
        mut place: Place,
    ) -> Result<Timed, Failure> {
        // Whoever needs the room gets it.
        place.set_idle_since(Some(Instant::now()));
        let runtime = self.programs.worker.open().await?;
        let failed = |e: std::io::Error| Failure::caused(Code::Internal, &e);
        let (_gateway_end, slot) = pair().map_err(failed)?;
        let time_max_ms = u32::try_from(MEASURE_TIME_MAX.as_millis()).unwrap_or(u32::MAX);
        let birth = Birth {
            order,
            programs: &self.programs,
            slot: slot.as_fd(),
            runtime: &runtime,
            model,
            generation: start::next_generation(),
            own_bytes_max: start::own_bytes_max(plan, shape, &self.programs),
            measure: Some(Measure { streams: MEASURE_STREAMS, time_max_ms }),
        };
        let (mut process, mut reports) = birth.start().map_err(failed)?;
        step_back(&process);
        let timed = tokio::select! {
            heard = tokio::time::timeout(LOAD_TIMEOUT, hear(order, &mut process, &mut reports)) => {
                let late = || Failure::new(Code::WorkerCrashed, "the model was not loaded in time");
                heard.unwrap_or_else(|_| Err(late())).map(timed)
            }
            () = place.wanted_by_another() => Ok(interrupted()),
            () = self.room.until_used() => Ok(interrupted()),
        };
        process.stop(STOP_GRACE).await;
        timed
    }
}

/// Whether a failure says something about the model on this machine, so that trying again is of no use.
const fn is_of_the_model(code: Code) -> bool {
    matches!(
        code,
        Code::MemoryPlan | Code::TemplateDiffers | Code::CheckFailed | Code::WorkerCrashed | Code::VetRefused
    )
}

fn timed(ready: WorkerReady) -> Timed {
    let WorkerReady { cpu, measured, .. } = ready;
    let cpu = level(&cpu);
    match measured {
        Some(measured) => Timed::Done(measured, cpu),
        // It came up and answers its checks: it is the machine that has no time.
        None => Timed::Later(Failure::new(Code::WorkerCrashed, "it generated nothing in time")),
    }
}

fn interrupted() -> Timed {
    Timed::Later(Failure::new(Code::QueueFull, "somebody needs the machine"))
}

/// Until the worker is ready, under the same eyes as one that is to serve.
async fn hear(
    order: &LoadOrder,
    process: &mut Process,
    reports: &mut Packets,
) -> Result<WorkerReady, Failure> {
    let mut shown = Shown::of(order);
    loop {
        let report = reports.receive::<WorkerReport>().await;
        let report = report.map_err(|e| Failure::caused(Code::WorkerCrashed, &e))?;
        let Some(report) = report else {
            let status = process.wait().await.map_err(|e| Failure::caused(Code::Internal, &e))?;
            let message = format!("the worker {}", crate::spawn::describe(status));
            return Err(Failure::new(Code::WorkerCrashed, message));
        };
        match report.message {
            Some(worker_report::Message::SelfTest(test)) => {
                let proof = Proof::of(test);
                if !proof.holds() {
                    return Err(Failure::new(Code::SandboxUnproven, proof.open()));
                }
            }
            Some(worker_report::Message::Refusal(refusal)) => return Err(refusal_of(&refusal)),
            Some(worker_report::Message::Rendered(rendered)) => shown.compare(rendered)?,
            Some(worker_report::Message::Ready(ready)) => {
                shown.is_complete(&ready)?;
                return Ok(ready);
            }
            Some(worker_report::Message::Progress(_) | worker_report::Message::Alive(_)) | None => {}
        }
    }
}

/// A low priority, at which it still gets some time on a busy machine: its threads are made later and inherit it. Failing to get it only makes it less polite.
fn step_back(process: &Process) {
    let pid = i32::try_from(process.pid()).ok().and_then(rustix::process::Pid::from_raw);
    if pid.is_some() {
        let _ = rustix::process::setpriority_process(pid, 10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_model_cannot_help_is_tried_again() {
        for code in [Code::CheckFailed, Code::TemplateDiffers, Code::MemoryPlan, Code::WorkerCrashed] {
            assert!(is_of_the_model(code), "{code}");
        }
        for code in [Code::BlobCorrupt, Code::BlobMissing, Code::RuntimeUnapproved, Code::SandboxUnproven] {
            assert!(!is_of_the_model(code), "{code}");
        }
        assert!(
            matches!(timed(WorkerReady::default()), Timed::Later(_)),
            "a busy machine is no fault of the model"
        );
        let ready = WorkerReady {
            cpu: "avx2\n<b>".to_owned(),
            measured: Some(Measured::default()),
            ..WorkerReady::default()
        };
        assert!(matches!(timed(ready), Timed::Done(_, cpu) if cpu == "avx2b"));
    }
}
