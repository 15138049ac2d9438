//! Keeps one model at hand: verifies its bytes, sees that there is memory for it, starts a worker on a clean slot, and
//! does so again when it ends. A model that nobody uses is unloaded by ending its process; the next request loads it.

pub(super) mod attend;
pub(super) mod start;

use std::sync::Arc;
use std::time::Instant;

use croft_domain::code::Code;
use croft_domain::memory::{LoadSize, MemoryPlan};
use croft_link::backoff::Backoff;
use croft_proto::frames::{GatewayPolicy, ToGateway, WorkerDown, to_gateway};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::gateway::House;
use super::room::{Place, Room, Wish};
use super::{Event, LoadOrder, Programs, WorkerChange};
use crate::failure::Failure;
use crate::limits::{RESTART_MAX, RESTART_MIN, RESTART_RESET_AFTER, STOP_GRACE};

/// What a worker is called in lists of processes.
pub(super) const WORKER_NAME: &str = "croft-worker";

/// Keeps one model at hand until cancelled.
pub struct Keeper {
    /// Which model, where.
    pub order: LoadOrder,
    /// The newest order for it: another variant is another order.
    pub orders: watch::Receiver<LoadOrder>,
    /// Executables, and what workers may take.
    pub programs: Arc<Programs>,
    /// The memory that models share.
    pub room: Arc<Room>,
    /// How long models stay loaded.
    pub policies: watch::Receiver<GatewayPolicy>,
    /// The running gateway.
    pub house: watch::Receiver<Option<Arc<House>>>,
    /// Where we tell what happened.
    pub events: mpsc::Sender<Event>,
    /// Ends it.
    pub cancel: CancellationToken,
}

/// How one worker ended.
enum End {
    /// It is to be started again after a while.
    Failed(Failure),
    /// It cannot run here as things are: trying again would change nothing, until somebody asks.
    Hopeless(Failure),
    /// Nobody used it, or another model needed the room.
    Rested,
}

impl Keeper {
    /// Runs until cancelled.
    pub async fn run(mut self) {
        let mut backoff = Backoff::new(RESTART_MIN, RESTART_MAX);
        let mut wish = Wish::Spare;
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
            self.order = self.orders.borrow_and_update().clone();
            let began = Instant::now();
            let end = self.serve_once(&house, wish).await;
            if cancel.is_cancelled() {
                return;
            }
            match end {
                End::Failed(failure) => {
                    self.tell_down(&house, failure, Lasting::No).await;
                    wish = Wish::Wanted;
                    if began.elapsed() > RESTART_RESET_AFTER {
                        backoff.reset();
                    }
                    drop(house);
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = tokio::time::sleep(backoff.next_delay()) => {}
                    }
                    continue;
                }
                End::Hopeless(failure) => self.tell_down(&house, failure, Lasting::Yes).await,
                End::Rested => self.tell(WorkerChange::Rested).await,
            }
            backoff.reset();
            let mut orders = self.orders.clone();
            wish = tokio::select! {
                () = cancel.cancelled() => return,
                () = self.wanted(&house) => Wish::Wanted,
                Ok(()) = orders.changed() => Wish::Spare,
            };
        }
    }

    /// Waits until a request waits for this model. A gateway that ends takes its requests with it, and the next one is
    /// listened to.
    async fn wanted(&mut self, house: &Arc<House>) {
        let mut house = Arc::clone(house);
        loop {
            tokio::select! {
                () = house.wanted(self.order.slot) => return,
                changed = self.house.changed() => {
                    if changed.is_err() {
                        return std::future::pending().await;
                    }
                    if let Some(next) = self.house.borrow_and_update().clone() {
                        house = next;
                    }
                }
            }
        }
    }

    async fn tell_down(&self, house: &House, failure: Failure, lasting: Lasting) {
        let (code, message) = (failure.code(), failure.message().to_owned());
        tracing::warn!(bundle = %self.order.bundle, %code, detail = message, "worker down");
        house.tell(ToGateway {
            message: Some(to_gateway::Message::WorkerDown(WorkerDown {
                slot: self.order.slot,
                code: code.to_string(),
                message: message.clone(),
                lasting: lasting == Lasting::Yes,
            })),
        });
        self.tell(WorkerChange::Down { code, message }).await;
    }

    async fn tell(&self, change: WorkerChange) {
        let _ = self.events.send(Event::Worker { bundle: self.order.bundle.clone(), change }).await;
    }

    /// One worker from start to end.
    async fn serve_once(&mut self, house: &Arc<House>, wish: Wish) -> End {
        let open = Arc::clone(&self.order.open);
        let measured = tokio::task::spawn_blocking(move || {
            let model = open()?;
            let shape = start::measure(&model)?;
            Ok::<_, Failure>((model, shape))
        });
        let (model, shape) = match measured.await {
            Ok(Ok(measured)) => measured,
            Ok(Err(failure)) => return End::Failed(failure),
            Err(e) => return End::Failed(Failure::caused(Code::Internal, &e)),
        };
        let size = LoadSize {
            context_tokens: self.order.context_tokens,
            slots: self.order.conversations,
            kv: self.programs.allowance.kv,
        };
        let plan = MemoryPlan::of(&shape, &size);
        let ceiling_bytes = self.programs.allowance.of_model(self.room.ceiling_bytes());
        self.tell(WorkerChange::Planned { plan, ceiling_bytes }).await;
        if let Err(over) = plan.fit(ceiling_bytes) {
            return End::Hopeless(Failure::caused(Code::MemoryPlan, &over));
        }
        let cancel = self.cancel.clone();
        let place = tokio::select! {
            () = cancel.cancelled() => return End::Rested,
            place = self.enter(house, plan.total_bytes(), wish) => place,
        };
        let Some(mut place) = place else { return End::Rested };
        let runtime = match self.programs.worker.open().await {
            Ok(runtime) => runtime,
            Err(failure) => return End::Failed(failure),
        };
        let generation = start::next_generation();
        let own_bytes_max = start::own_bytes_max(&plan, &shape, &self.programs);
        let started = self.start(house, &runtime, &model, (generation, own_bytes_max));
        let (mut process, mut reports) = match started {
            Ok(started) => started,
            Err(e) => return End::Failed(Failure::caused(Code::WorkerCrashed, &e)),
        };
        drop(model);
        self.tell(WorkerChange::Started { pid: process.pid() }).await;
        let end = tokio::select! {
            () = cancel.cancelled() => End::Rested,
            end = self.accompany(&mut process, &mut reports, &mut place, house, generation) => end,
        };
        process.stop(STOP_GRACE).await;
        end
    }

    /// Waits for room, and tells the gateway meanwhile that requests wait for something.
    async fn enter(&self, house: &House, bytes: u64, wish: Wish) -> Option<Place> {
        let entering = self.room.enter(self.order.slot, bytes, wish);
        let mut entering = std::pin::pin!(entering);
        let mut tick = tokio::time::interval(crate::limits::LOADING_TOLD_EVERY);
        loop {
            tokio::select! {
                biased;
                place = &mut entering => return place,
                _ = tick.tick() => self.tell_loading(house, 0),
            }
        }
    }

    fn tell_loading(&self, house: &House, percent: u32) {
        let loading = croft_proto::frames::Loading { slot: self.order.slot, percent };
        house.tell(ToGateway { message: Some(to_gateway::Message::Loading(loading)) });
    }
}

/// Whether a worker that is down stays so until somebody asks for its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasting {
    Yes,
    No,
}
