//! What all requests share: the policy in force, the slots, and the secrets of this start.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use croft_domain::code::Code;
use croft_proto::frames::{Ready, ServedModel, ToGateway, to_gateway, to_worker};
use prost::Message as _;
use ring::digest::{Context, SHA256};
use tokio::sync::watch;

use super::answer::Answer;
use super::answer_guard::AnswerGuard;
use super::body::{Budget, Reservation};
use super::clock;
use super::content::{self, Screened};
use super::control::Outbox;
use super::errors::Refusal;
use super::fields::unsupported;
use super::guard::{Caller, Sender};
use super::job::Asked;
use super::limits::GENERATE_LEN_MAX;
use super::peer::PeerLookup;
use super::policy::{Policy, refusal_before_policy};
use super::quota::{Place, Quotas};
use super::sieve::Sieve;
use super::slots::{Account, Slot};

/// What a request holds until it is answered: memory for its body, and its place among its caller's.
pub struct Held {
    /// Memory.
    pub reservation: Reservation,
    /// None for the later parts of one request.
    pub place: Option<Place>,
}

/// What all requests share.
pub struct Gate {
    /// The listener's address.
    pub server: SocketAddr,
    /// Who is at the other end.
    pub lookup: PeerLookup,
    /// Memory for bodies.
    pub budget: Budget,
    policy: RefCell<Option<Rc<Policy>>>,
    daemon: Rc<Outbox>,
    slots: Vec<Rc<Slot>>,
    /// What callers have used.
    pub quotas: Rc<Quotas>,
    /// What workers said of models, so that it can be told while a model rests.
    abilities: RefCell<HashMap<String, Ready>>,
    /// Separates the prefix caches of callers, unguessably and only for this start.
    partition_key: [u8; 32],
    random: Cell<u64>,
    draining: watch::Sender<bool>,
}

impl Gate {
    /// Before the first policy.
    #[must_use]
    pub fn new(
        server: SocketAddr,
        lookup: PeerLookup,
        slots: usize,
        daemon: &Rc<Outbox>,
        seed: [u8; 40],
    ) -> Self {
        let (partition_key, random) = seed.split_at(32);
        let quotas = Rc::new(Quotas::default());
        let slot = |index| Slot::new(index, Rc::clone(daemon), Rc::clone(&quotas));
        Self {
            server,
            lookup,
            budget: Budget::default(),
            policy: RefCell::new(None),
            daemon: Rc::clone(daemon),
            slots: (0..).take(slots).map(slot).collect(),
            quotas,
            abilities: RefCell::new(HashMap::new()),
            partition_key: partition_key.try_into().expect("the first 32 of 40 bytes"),
            random: Cell::new(u64::from_ne_bytes(random.try_into().expect("the last 8 of 40 bytes"))),
            draining: watch::Sender::new(false),
        }
    }

    /// All slots.
    #[must_use]
    pub fn slots(&self) -> &[Rc<Slot>] {
        &self.slots
    }

    /// Becomes true when the daemon asks to end.
    #[must_use]
    pub fn draining(&self) -> watch::Receiver<bool> {
        self.draining.subscribe()
    }

    /// Takes the daemon's word.
    pub fn take(&self, message: ToGateway) {
        let slot = |index: u32| self.slots.get(usize::try_from(index).unwrap_or(usize::MAX));
        match message.message {
            Some(to_gateway::Message::Policy(policy)) => {
                tracing::info!(serving = policy.serving, models = policy.models.len(), "policy received");
                let policy = Policy::parse(policy, clock::now());
                self.abilities.borrow_mut().retain(|digest, _| policy.serves(digest));
                let earlier = self.policy.take();
                self.policy.replace(Some(Rc::new(policy.keeping_rules_of(earlier.as_deref()))));
            }
            Some(to_gateway::Message::WorkerUp(up)) => {
                if let Some(slot) = slot(up.slot) {
                    slot.worker_up(up.generation);
                }
            }
            Some(to_gateway::Message::WorkerDown(down)) => {
                if let Some(slot) = slot(down.slot) {
                    slot.worker_down(&down.code, &down.message);
                    if down.lasting {
                        slot.refuse_waiting(&down.code, &down.message);
                    }
                }
            }
            Some(to_gateway::Message::Rest(rest)) => {
                if let Some(slot) = slot(rest.slot) {
                    slot.rest(rest.generation);
                }
            }
            Some(to_gateway::Message::Loading(loading)) => {
                if let Some(slot) = slot(loading.slot) {
                    slot.loading();
                }
            }
            Some(to_gateway::Message::Spent(spent)) => self.quotas.take_over(spent),
            Some(to_gateway::Message::Drain(_)) => {
                self.draining.send_replace(true);
            }
            None => {}
        }
    }

    /// The policy, if one came yet.
    #[must_use]
    pub fn policy(&self) -> Option<Rc<Policy>> {
        self.policy.borrow().clone()
    }

    /// The policy.
    ///
    /// # Errors
    /// [`Code::LeaseNone`] before the first.
    pub fn policy_needed(&self) -> Result<Rc<Policy>, Refusal> {
        self.policy().ok_or_else(refusal_before_policy)
    }

    /// Whether that model may still answer.
    ///
    /// # Errors
    /// Why not.
    pub fn still_serves(&self, slot: u32, digest: &str) -> Result<(), Refusal> {
        let policy = self.policy_needed()?;
        policy.standing(clock::now())?;
        if policy.still_serves(slot, digest) {
            return Ok(());
        }
        if self.slots.get(slot as usize).is_none_or(|slot| !slot.is_up()) {
            return Err(Refusal::new(Code::WorkerCrashed, "the model's process ended"));
        }
        Err(Refusal::new(Code::Unapproved, "this model is not approved here any more"))
    }

    /// Whether a model's worker is up.
    #[must_use]
    pub fn is_up(&self, model: &ServedModel) -> bool {
        self.slots.get(model.slot as usize).is_some_and(|slot| slot.is_up())
    }

    /// What a model's worker can do, as it said last.
    #[must_use]
    pub fn abilities(&self, model: &ServedModel) -> Option<Ready> {
        let now = self.slots.get(model.slot as usize).and_then(|slot| slot.worker());
        let mut all = self.abilities.borrow_mut();
        match now {
            Some(now) => {
                all.insert(model.digest.clone(), now.clone());
                Some(now)
            }
            None => all.get(&model.digest).cloned(),
        }
    }

    /// The slot of a model.
    ///
    /// # Errors
    /// [`Code::Internal`], which cannot happen as long as daemon and gateway agree on how many there are.
    pub fn slot_of(&self, model: &ServedModel) -> Result<&Rc<Slot>, Refusal> {
        let slot = self.slots.get(model.slot as usize);
        slot.ok_or_else(|| Refusal::new(Code::Internal, "the model has no place in this process"))
    }

    /// Queues a request for an answer.
    ///
    /// # Errors
    /// If there is no such model, it may not be given such data, or the queue is full.
    pub fn submit(self: &Rc<Self>, sender: &Sender, asked: Asked, held: Held) -> Result<Answer, Refusal> {
        let policy = self.policy_needed()?;
        let model = policy.model(&asked.model)?;
        policy.check_data_class(sender.declared, model)?;
        let generate = asked.generate(model, self.partition(sender.caller), self.random());
        if generate.encoded_len() > GENERATE_LEN_MAX {
            return Err(Refusal::new(Code::ContextFull, "the prompt is longer than any context"));
        }
        let account = Account { caller: sender.caller, class: policy.class_of(sender.declared) };
        let guard = AnswerGuard::new(policy.answer_rules(), &self.daemon, model, account.class);
        if guard.is_some() && generate.logprobs {
            // They repeat the answer, token by token.
            let message = "logprobs where your organization has answers looked through";
            return Err(unsupported(message));
        }
        let sieve = Some(Sieve::new(&generate, policy.links()));
        let answer = self.queue(account, model, to_worker::Frame::Generate(generate), held)?;
        Ok(Answer { guard, sieve, ..answer })
    }

    /// The version that a name stands for now, so that all parts of one request go to the same.
    ///
    /// # Errors
    /// If there is none.
    pub fn pinned(&self, model: &str) -> Result<String, Refusal> {
        Ok(self.policy_needed()?.model(model)?.bundle.clone())
    }

    /// Queues texts to be read and answered with numbers: vectors, or scores.
    ///
    /// # Errors
    /// As [`Self::submit`].
    pub fn read(
        self: &Rc<Self>,
        sender: &Sender,
        model: &str,
        texts: to_worker::Frame,
        held: Held,
    ) -> Result<Answer, Refusal> {
        let policy = self.policy_needed()?;
        let model = policy.model(model)?;
        policy.check_data_class(sender.declared, model)?;
        if texts.encoded_len() > GENERATE_LEN_MAX {
            return Err(Refusal::new(Code::ContextFull, "a text is longer than any context"));
        }
        let account = Account { caller: sender.caller, class: policy.class_of(sender.declared) };
        self.queue(account, model, texts, held)
    }

    fn queue(
        self: &Rc<Self>,
        account: Account,
        model: &ServedModel,
        work: to_worker::Frame,
        held: Held,
    ) -> Result<Answer, Refusal> {
        let Held { reservation, place } = held;
        let events = self.slot_of(model)?.submit(account, work, reservation)?;
        let (slot, digest) = (model.slot, model.digest.clone());
        let gate = Rc::clone(self);
        Ok(Answer {
            events,
            gate,
            slot,
            digest,
            sieve: None,
            held_end: None,
            guard: None,
            end: None,
            _place: place,
        })
    }

    /// Looks through a request for what models must not see, and replaces what is to be redacted.
    ///
    /// # Errors
    /// [`Code::DataBlocked`], and if there is no such model.
    pub async fn screen(
        &self,
        sender: &Sender,
        model: &str,
        texts: Vec<&mut String>,
    ) -> Result<Screened, Refusal> {
        let policy = self.policy_needed()?;
        let (slot, class) = (policy.model(model)?.slot, policy.class_of(sender.declared));
        let screened = content::screen(&policy.content_rules(), texts).await;
        match &screened {
            Ok(screened) if screened.is_changed() => self.daemon.redacted(slot, class, screened.kinds()),
            Err(refusal) => self.daemon.blocked(slot, class, &refusal.found),
            Ok(_) => {}
        }
        screened
    }

    fn partition(&self, caller: Caller) -> u64 {
        let mut context = Context::new(&SHA256);
        context.update(&self.partition_key);
        match caller {
            Caller::Key => context.update(b"key"),
            Caller::Uid(uid) => {
                context.update(b"uid");
                context.update(&uid.to_be_bytes());
            }
        }
        let digest = Bytes::copy_from_slice(context.finish().as_ref());
        u64::from_be_bytes(digest[..8].try_into().expect("the first 8 of 32 bytes"))
    }

    /// A number that differs each time: for seeds and ids, not for secrets (splitmix64).
    pub fn random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(seed: u8) -> Gate {
        let lookup = PeerLookup::open().expect("netlink");
        let server = "127.0.0.1:1".parse().expect("an address");
        Gate::new(server, lookup, 1, &Rc::new(Outbox::default()), [seed; 40])
    }

    #[test]
    fn callers_never_share_a_prefix_cache() {
        let gate_a = gate(1);
        let partitions =
            [Caller::Key, Caller::Uid(1000), Caller::Uid(1001)].map(|caller| gate_a.partition(caller));
        assert!(partitions[0] != partitions[1] && partitions[1] != partitions[2]);
        assert_eq!(partitions[1], gate_a.partition(Caller::Uid(1000)));
        assert_ne!(partitions[1], gate(2).partition(Caller::Uid(1000)), "another start");
        assert_ne!(gate_a.random(), gate_a.random());
    }
}
