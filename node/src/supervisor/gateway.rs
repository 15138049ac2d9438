//! Keeps the gateway running. A gateway that ends takes its slots with it: workers see their peer close and end, and
//! everything is made anew.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use croft_link::backoff::Backoff;
use croft_proto::frames::{FromGateway, GatewayPolicy, SLOTS, ToGateway, from_gateway, to_gateway};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Event;
use super::doors::Doors;
use super::ledger::Ledger;
use super::packets::{PacketError, Packets, channel};
use super::proof::Proof;
use super::slot::Slot;
use crate::limits::{
    CHANNEL_LEN, RESTART_MAX, RESTART_MIN, RESTART_RESET_AFTER, SELF_TEST_TIMEOUT, STOP_GRACE,
};
use crate::spawn::{Launch, Output, Process, Program, describe, launch};

const LISTENER_FD: i32 = 3;
const CONTROL_FD: i32 = 4;
const LOCAL_FD: i32 = 5;
const FIRST_SLOT_FD: i32 = 6;

/// What one gateway and its workers share. A new one is made for each start of a gateway.
#[derive(Debug)]
pub struct House {
    /// The workers' ends.
    pub slots: Vec<Slot>,
    calls: Vec<watch::Sender<Calls>>,
    messages: mpsc::Sender<ToGateway>,
}

impl House {
    /// Tells the gateway something. A gateway that does not read is about to be ended, so nothing waits for it.
    pub fn tell(&self, message: ToGateway) {
        if self.messages.try_send(message).is_err() {
            tracing::warn!("the gateway does not take messages");
        }
    }
}

/// What the gateway said of one slot.
#[derive(Clone, Copy, Debug, Default)]
struct Calls {
    wanted: bool,
    keep_alive_s: Option<u64>,
    at_rest: Option<u32>,
}

impl House {
    fn call(&self, slot: u32, change: impl FnOnce(&mut Calls)) {
        if let Some(calls) = usize::try_from(slot).ok().and_then(|slot| self.calls.get(slot)) {
            calls.send_modify(change);
        }
    }

    async fn called<T>(&self, slot: u32, answer: impl Fn(&Calls) -> Option<T>) -> T {
        let Some(calls) = usize::try_from(slot).ok().and_then(|slot| self.calls.get(slot)) else {
            return std::future::pending().await;
        };
        let mut calls = calls.subscribe();
        match calls.wait_for(|calls| answer(calls).is_some()).await.ok().and_then(|calls| answer(&calls)) {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }

    fn present(&self, slot: u32) -> Calls {
        let calls = usize::try_from(slot).ok().and_then(|slot| self.calls.get(slot));
        calls.map(|calls| *calls.borrow()).unwrap_or_default()
    }

    /// Waits until a request waits for the model of a slot; the call is used up. Safe to drop and call again.
    pub async fn wanted(&self, slot: u32) {
        self.called(slot, |calls| calls.wanted.then_some(())).await;
        self.call(slot, |calls| calls.wanted = false);
    }

    /// Waits until the gateway agreed that this worker may end. Safe to drop and call again.
    pub async fn at_rest(&self, slot: u32, generation: u32) {
        self.called(slot, |calls| (calls.at_rest == Some(generation)).then_some(())).await;
    }

    /// How long the model of a slot stays loaded without a request, in seconds, as the last client that said so was
    /// granted.
    #[must_use]
    pub fn keep_alive_s(&self, slot: u32) -> Option<u64> {
        self.present(slot).keep_alive_s
    }

    /// Waits until that changes. Safe to drop and call again.
    pub async fn keep_alive_changed(&self, slot: u32) {
        let known = self.present(slot).keep_alive_s;
        self.called(slot, |calls| (calls.keep_alive_s != known).then_some(())).await;
    }
}

/// Starts the gateway again and again until stopped.
pub struct Keeper {
    /// `croft-node`.
    pub program: PathBuf,
    /// Where the local API listens; it stays bound while the gateway is down.
    pub doors: Doors,
    /// What the gateway may do.
    pub policies: watch::Receiver<GatewayPolicy>,
    /// What each account has used today: a gateway that is started again goes on from there.
    pub ledger: Ledger,
    /// Where workers find the running gateway.
    pub house: watch::Sender<Option<Arc<House>>>,
    /// Where we tell what happened.
    pub events: mpsc::Sender<Event>,
    /// Ends it all.
    pub stop: CancellationToken,
}

#[derive(Debug, thiserror::Error)]
enum GatewayError {
    #[error("cannot start the gateway")]
    Start(#[source] std::io::Error),
    #[error("the gateway's control socket failed")]
    Packets(#[from] PacketError),
    #[error("the gateway did not prove its sandbox in time")]
    SelfTestLate,
}

struct Running {
    process: Process,
    control: Packets,
    messages: mpsc::Receiver<ToGateway>,
    house: Arc<House>,
}

impl Keeper {
    /// Runs until stopped.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
        loop {
            let began = Instant::now();
            let detail = match self.start() {
                Ok(running) => self.accompany(running).await,
                Err(e) => e.to_string(),
            };
            self.house.send_replace(None);
            self.ledger.write();
            if self.stop.is_cancelled() {
                return;
            }
            tracing::warn!(detail, "gateway down");
            let _ = self.events.send(Event::GatewayDown { detail }).await;
            if began.elapsed() > RESTART_RESET_AFTER {
                backoff.reset();
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_delay()) => {}
            }
        }
    }

    fn start(&self) -> Result<Running, GatewayError> {
        let mut slots = Vec::with_capacity(SLOTS);
        let mut gateway_ends: Vec<OwnedFd> = Vec::with_capacity(SLOTS);
        for _ in 0..SLOTS {
            let (slot, gateway_end) = Slot::new().map_err(GatewayError::Start)?;
            slots.push(slot);
            gateway_ends.push(gateway_end);
        }
        let (control, theirs) = channel()?;
        let Doors { loopback, local } = &self.doors;
        let mut descriptors =
            vec![(loopback.as_fd(), LISTENER_FD), (theirs.as_fd(), CONTROL_FD), (local.as_fd(), LOCAL_FD)];
        descriptors.extend(gateway_ends.iter().zip(FIRST_SLOT_FD..).map(|(fd, number)| (fd.as_fd(), number)));
        let process = launch(&Launch {
            program: Program::At(&self.program),
            arguments: vec!["gateway".to_owned()],
            descriptors,
            capture_output: Output::Discard,
        })
        .map_err(GatewayError::Start)?;
        let (sender, messages) = mpsc::channel(CHANNEL_LEN);
        let calls = slots.iter().map(|_| watch::Sender::default()).collect();
        let house = Arc::new(House { slots, calls, messages: sender });
        Ok(Running { process, control, messages, house })
    }

    /// Serves one gateway until it ends; says how it ended.
    async fn accompany(&mut self, mut running: Running) -> String {
        let _ = self.events.send(Event::GatewayStarted { pid: running.process.pid() }).await;
        let outcome = self.converse(&mut running).await;
        self.house.send_replace(None);
        match outcome {
            // The process ended or closed its socket; the exit status says more.
            Ok(()) if !self.stop.is_cancelled() => {
                match tokio::time::timeout(Duration::from_millis(500), running.process.wait()).await {
                    Ok(Ok(status)) => format!("the gateway {}", describe(status)),
                    _ => "the gateway closed its control socket".to_owned(),
                }
            }
            Ok(()) => {
                running.process.stop(STOP_GRACE).await;
                "stopped".to_owned()
            }
            Err(e) => e.to_string(),
        }
    }

    async fn converse(&mut self, running: &mut Running) -> Result<(), GatewayError> {
        let Running { process: _, control, messages, house } = running;
        let proof = tokio::select! {
            () = self.stop.cancelled() => return Ok(()),
            proof = tokio::time::timeout(SELF_TEST_TIMEOUT, await_proof(control)) => proof,
        };
        let Some(proof) = proof.map_err(|_| GatewayError::SelfTestLate)?? else { return Ok(()) };
        let _ = self.events.send(Event::GatewayProof(proof)).await;
        let policy = self.policies.borrow_and_update().clone();
        control.send(&ToGateway { message: Some(to_gateway::Message::Policy(policy)) }).await?;
        for spent in self.ledger.all() {
            control.send(&ToGateway { message: Some(to_gateway::Message::Spent(spent)) }).await?;
        }
        self.house.send_replace(Some(Arc::clone(house)));
        loop {
            let message = tokio::select! {
                // Messages before the end, so that a gateway hears that it is to drain.
                biased;
                Some(message) = messages.recv() => message,
                () = self.stop.cancelled() => return Ok(()),
                changed = self.policies.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    let policy = self.policies.borrow_and_update().clone();
                    ToGateway { message: Some(to_gateway::Message::Policy(policy)) }
                }
                () = self.ledger.due() => {
                    self.ledger.write();
                    continue;
                }
                frame = control.receive::<FromGateway>() => {
                    match frame? {
                        None => return Ok(()),
                        Some(frame) => self.hear(house, frame).await,
                    }
                    continue;
                }
            };
            control.send(&message).await?;
        }
    }

    async fn hear(&mut self, house: &House, frame: FromGateway) {
        let event = match frame.message {
            Some(from_gateway::Message::Wanted(wanted)) => {
                return house.call(wanted.slot, |calls| calls.wanted = true);
            }
            Some(from_gateway::Message::KeepAlive(keep)) => {
                return house.call(keep.slot, |calls| calls.keep_alive_s = Some(keep.seconds));
            }
            Some(from_gateway::Message::AtRest(rest)) => {
                // What was wanted before, the worker that rests now has answered.
                return house.call(rest.slot, |calls| {
                    *calls = Calls { wanted: false, at_rest: Some(rest.generation), ..*calls };
                });
            }
            Some(from_gateway::Message::SelfTest(report)) => Event::GatewayProof(Proof::of(report)),
            Some(from_gateway::Message::Usage(usage)) => {
                Event::Usage { slot: usage.slot, counted: usage.into() }
            }
            Some(from_gateway::Message::Spent(spent)) => {
                self.ledger.note(spent);
                return;
            }
            Some(from_gateway::Message::SlotReady(_)) | None => return,
        };
        let _ = self.events.send(event).await;
    }
}

async fn await_proof(control: &mut Packets) -> Result<Option<Proof>, PacketError> {
    loop {
        match control.receive::<FromGateway>().await? {
            None => return Ok(None),
            Some(FromGateway { message: Some(from_gateway::Message::SelfTest(report)) }) => {
                return Ok(Some(Proof::of(report)));
            }
            Some(_) => {}
        }
    }
}
