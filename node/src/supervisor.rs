//! Starts, watches and ends the gateway and the workers. It passes them descriptors and hears counters and proofs; no
//! prompt and no answer ever crosses it.
//!
//! **Invariant:** the daemon keeps only the workers' ends of the slots, and reads nothing from them: stale packets are
//! thrown away unread.

pub mod counted;
pub mod doors;
pub mod gateway;
pub mod ledger;
pub mod measuring;
pub mod packets;
pub mod policy;
pub mod proof;
pub mod room;
pub mod runtime;
pub mod self_test;
pub mod slot;
pub mod trial;
pub mod worker;

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use croft_domain::bundle::{CheckPrompt, Rendered};
use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::BundleRef;
use croft_domain::memory::{self, KvType, MemoryPlan};
use croft_proto::frames::{GatewayPolicy, SLOTS, ToGateway, to_gateway};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::capacity::Capacity;
use crate::failure::Failure;
use crate::limits::CHANNEL_LEN;
use counted::Counted;
use doors::Doors;
use gateway::House;
use ledger::Ledger;
use measuring::Stopwatch;
use policy::Policy;
use proof::Proof;
use room::Room;
use runtime::Runtime;

/// What the processes did.
#[derive(Debug)]
pub enum Event {
    /// The gateway was started.
    GatewayStarted {
        /// Its process.
        pid: u32,
    },
    /// The gateway tried to break out.
    GatewayProof(Proof),
    /// A worker without a model tried to break out.
    WorkerProof(Proof),
    /// The gateway ended.
    GatewayDown {
        /// How.
        detail: String,
    },
    /// Requests were answered since the last such event.
    Usage {
        /// In which slot.
        slot: u32,
        /// How many, of what.
        counted: Counted,
    },
    /// Something about a worker.
    Worker {
        /// Which bundle it is for.
        bundle: BundleRef,
        /// What.
        change: WorkerChange,
    },
}

/// What became of a worker.
#[derive(Debug)]
pub enum WorkerChange {
    /// It was started.
    Started {
        /// Its process.
        pid: u32,
    },
    /// It tried to break out.
    Proof(Proof),
    /// What it will take.
    Planned {
        /// By its header.
        plan: MemoryPlan,
        /// What it may take, in bytes.
        ceiling_bytes: u64,
    },
    /// It loads.
    Progress {
        /// How far, 0 to 100.
        percent: u32,
    },
    /// It serves.
    Ready {
        /// How long it took, in milliseconds.
        load_ms: u64,
        /// Check prompts that it answered as approved.
        checks: u32,
        /// Level of its processor back end.
        cpu: String,
        /// The first of its files.
        weights: Option<Sha256Digest>,
    },
    /// Nobody used it, so its process was ended. The next request starts another.
    Rested,
    /// It ended, or was not started. It is tried again after a delay.
    Down {
        /// Stable code.
        code: Code,
        /// For a person.
        message: String,
    },
}

/// Opens a model's files, in the order of its shards, and verifies every byte of them; runs at each start of a worker, on
/// a thread that may block.
pub type Opener = Arc<dyn Fn() -> Result<Vec<File>, Failure> + Send + Sync>;

/// One model to be kept loaded.
#[derive(Clone)]
pub struct LoadOrder {
    /// Which bundle.
    pub bundle: BundleRef,
    /// In which of the gateway's slots.
    pub slot: u32,
    /// The first of the files, which tells variants apart.
    pub weights: Option<Sha256Digest>,
    /// Gives the verified files.
    pub open: Opener,
    /// The approved template; empty where none is bound.
    pub template: String,
    /// What was approved of it: none is refused, unless there is no template.
    pub rendered: Option<Rendered>,
    /// What the model must answer before it serves.
    pub checks: Vec<CheckPrompt>,
    /// Context of one conversation, in tokens.
    pub context_tokens: u32,
    /// Conversations at once.
    pub conversations: u32,
}

/// Where the executables are and how they are started.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `croft-node` itself: the gateway is a subcommand of it.
    pub node: PathBuf,
    /// `croft-worker`.
    pub worker: Runtime,
    /// Threads of a worker.
    pub threads: u32,
    /// What workers may take.
    pub allowance: Allowance,
}

/// What workers may take, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How keys and values are stored.
    pub kv: KvType,
    /// Memory of the machine, or of the tightest control group around us, in bytes.
    pub machine_bytes: u64,
    /// Memory of all workers together, in bytes, as the owner chose it; 0: the default share of the machine.
    pub all_bytes: u64,
    /// Memory of one worker, in bytes, as the owner chose it; 0: as all together.
    pub model_bytes: u64,
    /// Until a worker that says nothing is ended.
    pub hang_after: Duration,
}

impl Allowance {
    /// What all workers together may take, in bytes, where signed policy allows so many percent of the machine.
    #[must_use]
    pub fn ceiling_bytes(&self, percent_max: Option<u8>) -> u64 {
        memory::ceiling(self.machine_bytes, self.all_bytes, percent_max)
    }

    /// What one of them may take under that ceiling, in bytes.
    #[must_use]
    pub const fn of_model(&self, ceiling_bytes: u64) -> u64 {
        if self.model_bytes == 0 || self.model_bytes > ceiling_bytes {
            ceiling_bytes
        } else {
            self.model_bytes
        }
    }
}

struct Loaded {
    bundle: BundleRef,
    slot: u32,
    orders: watch::Sender<LoadOrder>,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

/// The processes of one daemon.
pub struct Supervisor {
    programs: Arc<Programs>,
    house: watch::Receiver<Option<Arc<House>>>,
    policy: watch::Sender<GatewayPolicy>,
    events: mpsc::Sender<Event>,
    room: Arc<Room>,
    loaded: Vec<Loaded>,
    stop: CancellationToken,
    gateway: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// Starts the gateway and keeps it running. `policy` is what it hears first.
    #[must_use]
    pub fn start(
        programs: Programs,
        doors: Doors,
        ledger: Ledger,
        policy: Policy,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let (house_sender, house) = watch::channel(None);
        let (policy, policies) = watch::channel(GatewayPolicy::from(policy));
        let stop = CancellationToken::new();
        let programs = Arc::new(programs);
        tokio::spawn(self_test::prove(Arc::clone(&programs), events.clone(), stop.clone()));
        let keeper = gateway::Keeper {
            program: programs.node.clone(),
            doors,
            policies,
            ledger,
            house: house_sender,
            events: events.clone(),
            stop: stop.clone(),
        };
        let gateway = Some(tokio::spawn(keeper.run()));
        let room = Room::new(programs.allowance.ceiling_bytes(None));
        Self { programs, house, policy, events, room, loaded: Vec::new(), stop, gateway }
    }

    /// Tells the gateway what it may do, if that is something new.
    pub fn set_policy(&self, policy: Policy) {
        let policy = GatewayPolicy::from(policy);
        self.policy.send_if_modified(|present| {
            let is_new = *present != policy;
            if is_new {
                *present = policy;
            }
            is_new
        });
    }

    /// Holds all models together under what signed policy allows, from now on. Those that are too many leave as soon as
    /// nobody uses them.
    pub fn set_memory_percent(&self, percent_max: Option<u8>) {
        self.room.set_ceiling(self.programs.allowance.ceiling_bytes(percent_max));
    }

    /// Keeps a model at hand from now on. One that is loaded already stays as it is.
    pub fn load(&mut self, order: LoadOrder) {
        if self.is_loaded(&order.bundle) {
            return;
        }
        let cancel = self.stop.child_token();
        let (bundle, slot) = (order.bundle.clone(), order.slot);
        let (orders, ordered) = watch::channel(order.clone());
        let keeper = worker::Keeper {
            order,
            orders: ordered,
            programs: Arc::clone(&self.programs),
            room: Arc::clone(&self.room),
            policies: self.policy.subscribe(),
            house: self.house.clone(),
            events: self.events.clone(),
            cancel: cancel.clone(),
        };
        self.loaded.push(Loaded { bundle, slot, orders, cancel, task: tokio::spawn(keeper.run()) });
    }

    /// Has another variant of a model take the place of the one that is kept loaded, as soon as the gateway says that
    /// nothing is on its way to that.
    pub fn exchange(&self, order: LoadOrder) {
        if let Some(loaded) = self.loaded.iter().find(|loaded| loaded.bundle == order.bundle) {
            loaded.orders.send_replace(order);
            self.room.ask_to_leave(loaded.slot);
        }
    }

    /// The variant that is kept loaded, or is to take its place.
    #[must_use]
    pub fn weights_of(&self, bundle: &BundleRef) -> Option<Sha256Digest> {
        self.loaded.iter().find(|loaded| loaded.bundle == *bundle)?.orders.borrow().weights
    }

    /// What models may take here.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        let allowance = &self.programs.allowance;
        let ceiling_bytes = allowance.of_model(self.room.ceiling_bytes());
        Capacity { ceiling_bytes, kv: allowance.kv, threads: self.programs.threads }
    }

    /// What measures models in the room of these.
    #[must_use]
    pub fn stopwatch(&self) -> Stopwatch {
        Stopwatch::new(Arc::clone(&self.programs), Arc::clone(&self.room))
    }

    /// Whether the model is one of those to be kept loaded.
    #[must_use]
    pub fn is_loaded(&self, bundle: &BundleRef) -> bool {
        self.loaded.iter().any(|loaded| loaded.bundle == *bundle)
    }

    /// Every bundle that is kept loaded, with its slot.
    pub fn loaded(&self) -> impl Iterator<Item = (&BundleRef, u32)> {
        self.loaded.iter().map(|loaded| (&loaded.bundle, loaded.slot))
    }

    /// Whether the model of that slot is in memory, or being loaded.
    #[must_use]
    pub fn is_resident(&self, slot: u32) -> bool {
        self.room.is_resident(slot)
    }

    /// Has the model of that slot leave memory as soon as the gateway says that nothing is on its way to it.
    pub fn retire(&self, slot: u32) {
        self.room.ask_to_leave(slot);
    }

    /// The lowest slot that no model has.
    #[must_use]
    pub fn free_slot(&self) -> Option<u32> {
        let slots = u32::try_from(SLOTS).unwrap_or(0);
        (0..slots).find(|slot| self.loaded.iter().all(|loaded| loaded.slot != *slot))
    }

    /// Ends a model's process. Returns when it is gone, so that its slot can be given away.
    pub async fn unload(&mut self, bundle: &BundleRef, code: Code, message: &str) {
        let Some(at) = self.loaded.iter().position(|loaded| loaded.bundle == *bundle) else { return };
        let loaded = self.loaded.swap_remove(at);
        self.tell(to_gateway::Message::WorkerDown(croft_proto::frames::WorkerDown {
            slot: loaded.slot,
            code: code.to_string(),
            message: message.to_owned(),
            lasting: true,
        }));
        loaded.cancel.cancel();
        let _ = loaded.task.await;
    }

    fn tell(&self, message: to_gateway::Message) {
        if let Some(house) = self.house.borrow().as_ref() {
            house.tell(ToGateway { message: Some(message) });
        }
    }

    /// Ends everything: the gateway first stops taking requests, then all processes go.
    pub async fn shut_down(mut self) {
        self.tell(to_gateway::Message::Drain(croft_proto::frames::Drain {}));
        self.stop.cancel();
        for loaded in self.loaded.drain(..) {
            let _ = loaded.task.await;
        }
        if let Some(gateway) = self.gateway.take() {
            let _ = gateway.await;
        }
    }
}

/// A channel for events, bounded.
#[must_use]
pub fn events() -> (mpsc::Sender<Event>, mpsc::Receiver<Event>) {
    mpsc::channel(CHANNEL_LEN)
}
