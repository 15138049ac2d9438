//! What a worker proves without a model: that this machine confines it. A node to which no model is assigned yet shows
//! its admin that one could run here.

use std::os::fd::AsFd;
use std::sync::Arc;

use croft_domain::code::Code;
use croft_link::backoff::Backoff;
use croft_proto::frames::{WorkerReport, worker_report};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::packets::channel;
use super::proof::Proof;
use super::runtime::Runtime;
use super::worker::WORKER_NAME;
use super::{Event, Programs};
use crate::failure::Failure;
use crate::limits::{RESTART_MAX, RESTART_MIN, SELF_TEST_TIMEOUT, STOP_GRACE};
use crate::spawn::{Launch, Output, Program, launch};

const REPORT_FD: i32 = 4;

/// Has one worker prove itself, and tells. Tries again after a delay where that says nothing at all.
pub async fn prove(programs: Arc<Programs>, events: mpsc::Sender<Event>, stop: CancellationToken) {
    let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
    loop {
        let answer = tokio::select! {
            () = stop.cancelled() => return,
            answer = ask(&programs.worker) => answer,
        };
        match answer {
            Ok(proof) => {
                let _ = events.send(Event::WorkerProof(proof)).await;
                return;
            }
            Err(e) => tracing::warn!(code = %e.code(), detail = e.message(), "no self-test of the worker"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
}

/// Starts a worker for its self-test alone.
///
/// # Errors
/// If it may not run or cannot be started, or ends without a word.
pub async fn ask(worker: &Runtime) -> Result<Proof, Failure> {
    let runtime = worker.open().await?;
    let failed = |e: &dyn std::error::Error| Failure::new(Code::SandboxUnproven, e.to_string());
    let (mut reports, report_end) = channel().map_err(|e| failed(&e))?;
    let process = launch(&Launch {
        program: Program::Opened { file: runtime.as_fd(), name: WORKER_NAME },
        arguments: vec!["--self-test".to_owned(), "--report-fd".to_owned(), REPORT_FD.to_string()],
        descriptors: vec![(report_end.as_fd(), REPORT_FD)],
        capture_output: Output::Discard,
    })
    .map_err(|e| failed(&e))?;
    drop(report_end);
    let report = tokio::time::timeout(SELF_TEST_TIMEOUT, reports.receive::<WorkerReport>()).await;
    process.stop(STOP_GRACE).await;
    match report.map_err(|e| failed(&e))?.map_err(|e| failed(&e))? {
        Some(WorkerReport { message: Some(worker_report::Message::SelfTest(test)) }) => Ok(Proof::of(test)),
        Some(WorkerReport { message: Some(worker_report::Message::Refusal(refusal)) }) => {
            let message = refusal.message.chars().filter(|c| !c.is_control()).take(512).collect::<String>();
            Err(Failure::new(Code::SandboxUnproven, message))
        }
        _ => Err(Failure::new(Code::SandboxUnproven, "the worker ended without a self-test")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime(path: &str) -> Runtime {
        Runtime { path: path.into(), judge: Arc::new(|_| Ok(())) }
    }

    #[tokio::test]
    async fn p1_a_program_that_says_nothing_proves_nothing() {
        let refused = ask(&runtime("/bin/true")).await.expect_err("no proof");
        assert_eq!(refused.code(), Code::SandboxUnproven);
        assert!(ask(&runtime("/nonexistent/croft-worker")).await.is_err());
    }

    #[tokio::test]
    async fn nobody_waits_for_a_proof_after_the_end() {
        let allowance = crate::supervisor::Allowance {
            kv: croft_domain::memory::KvType::F16,
            machine_bytes: 1 << 30,
            all_bytes: 0,
            model_bytes: 0,
            hang_after: std::time::Duration::from_secs(60),
        };
        let worker = runtime("/bin/true");
        let programs = Programs { node: "/bin/true".into(), worker, threads: 1, allowance };
        let (events, mut heard) = mpsc::channel(1);
        let stop = CancellationToken::new();
        stop.cancel();
        prove(Arc::new(programs), events, stop).await;
        assert!(heard.recv().await.is_none());
    }
}
