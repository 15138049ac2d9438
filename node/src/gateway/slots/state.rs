//! What a slot knows, without I/O.

use std::collections::{HashMap, HashSet, VecDeque};

use croft_domain::code::Code;
use croft_proto::frames::{
    Cancel, Embedded, Finished, FromWorker, Piece, Ranked, Ready, ToWorker, from_worker, to_worker,
};
use prost::Message as _;
use tokio::sync::mpsc;

use super::super::body::Reservation;
use super::super::errors::{Refusal, code_named};
use super::super::fragment::Fragment;
use super::super::guard::Caller;
use super::super::limits::{
    ANSWER_LEN_MAX, ANSWER_TOKENS_GUESS, BYTES_PER_TOKEN_GUESS, CALLERS_MAX, PIECE_LEN_MAX, STREAMS_MAX,
    VECTOR_LEN_MAX, WORKER_MESSAGE_LEN_MAX,
};
use super::super::queue::{FairQueue, Full};
use super::{Account, Event};

struct Waiting {
    request: u64,
    account: Account,
    work: to_worker::Frame,
    events: mpsc::Sender<Event>,
    _reservation: Reservation,
}

struct Running {
    /// None once cancelled: the worker's acknowledgment is still awaited.
    events: Option<mpsc::Sender<Event>>,
    account: Account,
    answer_len: usize,
    /// Of the texts that were answered with vectors.
    prompt_tokens: u32,
}

pub(super) struct State {
    index: u32,
    /// Whom to believe, as the daemon says.
    expected: Option<u32>,
    /// Who said to be ready, and what it said of itself.
    ready: Option<(u32, Ready)>,
    requests_made: u64,
    /// Who has asked so far. Bounded like all that is kept by caller.
    callers: HashSet<Caller>,
    waiting: FairQueue<Caller, Waiting>,
    running: HashMap<u64, Running>,
    outbox: VecDeque<ToWorker>,
    /// Counts how often a worker was said to be loading, so that who waits for it knows that it comes.
    loadings: u64,
    /// Counts workers, so that the writer notices that it writes to a dead one.
    epoch: u64,
}

impl State {
    pub(super) fn new(index: u32) -> Self {
        Self {
            index,
            expected: None,
            ready: None,
            requests_made: 0,
            callers: HashSet::new(),
            waiting: FairQueue::default(),
            running: HashMap::new(),
            outbox: VecDeque::new(),
            loadings: 0,
            epoch: 0,
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.generation().is_some()
    }

    /// The generation that is up.
    fn generation(&self) -> Option<u32> {
        let ready = self.ready.as_ref().map(|(generation, _)| *generation);
        ready.filter(|generation| self.expected == Some(*generation))
    }

    /// What the worker that is up said of itself.
    pub(super) fn worker(&self) -> Option<&Ready> {
        self.ready.as_ref().filter(|_| self.is_up()).map(|(_, ready)| ready)
    }

    pub(super) const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn next_outgoing(&mut self) -> Option<ToWorker> {
        self.pump();
        self.outbox.pop_front()
    }

    pub(super) fn submit(
        &mut self,
        account: Account,
        mut work: to_worker::Frame,
        reservation: Reservation,
        events: mpsc::Sender<Event>,
    ) -> Result<u64, Full> {
        let caller = account.caller;
        self.requests_made += 1;
        let request = self.requests_made;
        if self.callers.len() < CALLERS_MAX {
            self.callers.insert(caller);
        }
        // Those who hung up while waiting make room first.
        drop(self.waiting.extract(|waiting| !waiting.events.is_closed()));
        match &mut work {
            to_worker::Frame::Generate(generate) => generate.request = request,
            to_worker::Frame::Embed(embed) => embed.request = request,
            to_worker::Frame::Rank(rank) => rank.request = request,
            to_worker::Frame::Cancel(cancel) => cancel.request = request,
        }
        let waiting = Waiting { request, account, events, _reservation: reservation, work };
        self.waiting.push(caller, cost(&waiting.work), waiting)?;
        Ok(request)
    }

    /// Starts as many waiting requests as the worker takes.
    fn pump(&mut self) {
        let Some(generation) = self.generation() else { return };
        let streams = self.ready.as_ref().map_or(0, |(_, ready)| ready.slots.clamp(1, STREAMS_MAX) as usize);
        while self.running.len() < streams {
            // Once a second caller was seen, no caller takes the last place: another's first token must not wait for the
            // end of somebody's long streams.
            let most = if self.callers.len() > 1 { streams.saturating_sub(1).max(1) } else { streams };
            let running = &self.running;
            let has = |caller| running.values().filter(|running| running.account.caller == caller).count();
            let Some(next) = self.waiting.pop(|caller| has(caller) < most) else { return };
            if next.events.is_closed() {
                continue;
            }
            let Waiting { request, account, work, events, .. } = next;
            let running = Running { events: Some(events), account, answer_len: 0, prompt_tokens: 0 };
            self.running.insert(request, running);
            self.outbox.push_back(ToWorker { generation, frame: Some(work) });
        }
    }

    /// Cancels; says whether the worker has to acknowledge.
    pub(super) fn cancel(&mut self, request: u64) -> bool {
        let Some(running) = self.running.get_mut(&request) else {
            drop(self.waiting.extract(|waiting| waiting.request != request));
            return false;
        };
        running.events = None;
        let Some(generation) = self.generation() else { return false };
        let frame = Some(to_worker::Frame::Cancel(Cancel { request }));
        self.outbox.push_back(ToWorker { generation, frame });
        true
    }

    pub(super) fn forget_cancelled(&mut self, request: u64) {
        if self.running.get(&request).is_some_and(|running| running.events.is_none()) {
            self.running.remove(&request);
        }
    }

    pub(super) fn give_up_waiting(&mut self, request: u64) {
        if self.is_up() {
            return;
        }
        for waiting in self.waiting.extract(|waiting| waiting.request != request) {
            let refusal =
                Refusal::new(Code::WorkerCrashed, "the model's process is not up yet; try again in a moment");
            let _ = waiting.events.try_send(Event::Failed(refusal));
        }
    }

    /// Takes an idle worker for gone; says whether it was idle.
    pub(super) fn rest(&mut self, generation: u32) -> bool {
        self.pump();
        let is_idle = self.running.is_empty() && self.outbox.is_empty();
        if self.generation() != Some(generation) || !is_idle {
            return false;
        }
        self.expected = None;
        self.ready = None;
        self.epoch += 1;
        true
    }

    pub(super) const fn loading(&mut self) {
        self.loadings = self.loadings.wrapping_add(1);
    }

    pub(super) const fn loadings(&self) -> u64 {
        self.loadings
    }

    /// No worker will come by itself.
    pub(super) fn refuse_waiting(&mut self, code: &str, message: &str) {
        let code = code_named(code).unwrap_or(Code::WorkerCrashed);
        for waiting in self.waiting.extract(|_| false) {
            let _ = waiting.events.try_send(Event::Failed(Refusal::new(code, message)));
        }
    }

    pub(super) fn worker_up(&mut self, generation: u32) -> Option<u32> {
        if self.expected == Some(generation) {
            return None;
        }
        if self.expected.is_some() {
            self.worker_down(Code::WorkerCrashed.as_str(), "");
        }
        self.expected = Some(generation);
        self.generation()
    }

    pub(super) fn worker_down(&mut self, code: &str, message: &str) {
        self.expected = None;
        self.ready = None;
        self.epoch += 1;
        self.outbox.clear();
        let code = code_named(code).unwrap_or(Code::WorkerCrashed);
        let message = if message.is_empty() { "the model's process ended" } else { message };
        for running in self.running.drain().filter_map(|(_, running)| running.events) {
            // A full channel has a reader that gets the channel's end after what it holds.
            let _ = running.try_send(Event::Failed(Refusal::new(code, message)));
        }
    }

    /// The worker broke the protocol: nothing of it is believed until the daemon starts another.
    pub(super) fn distrust(&mut self) {
        tracing::warn!(slot = self.index, "worker broke the protocol; ignored until it is started again");
        self.worker_down(Code::WorkerCrashed.as_str(), "the model's process sent what it must not");
    }

    /// Takes one frame; says which generation became ready, and what was finished.
    pub(super) fn take(&mut self, message: FromWorker) -> (Option<u32>, Vec<(Account, Finished)>) {
        let mut usage = Vec::new();
        let FromWorker { generation, frame } = message;
        match frame {
            Some(from_worker::Frame::Ready(ready))
                if self.expected.is_none_or(|expected| expected == generation) && !self.is_up() =>
            {
                self.ready = Some((generation, ready));
                return (self.generation(), usage);
            }
            Some(from_worker::Frame::Ready(_)) => {}
            // A dead generation's last words.
            _ if self.generation() != Some(generation) => {}
            Some(from_worker::Frame::Step(step)) => {
                for piece in step.pieces {
                    if piece.encoded_len() > PIECE_LEN_MAX {
                        self.distrust();
                        break;
                    }
                    usage.extend(self.take_piece(piece));
                }
            }
            Some(from_worker::Frame::Failed(failed)) => {
                if let Some(events) = self.running.remove(&failed.request).and_then(|running| running.events)
                {
                    let code = code_named(&failed.code).unwrap_or(Code::Internal);
                    let refusal = Refusal::new(code, printable(&failed.message));
                    let _ = events.try_send(Event::Failed(refusal));
                }
            }
            Some(from_worker::Frame::Embedded(embedded)) => usage.extend(self.take_vector(embedded)),
            Some(from_worker::Frame::Ranked(ranked)) => {
                let Ranked { request, index, score, prompt_tokens, last } = ranked;
                // A score is a vector of one number to whoever passes it on.
                let vector = vec![score];
                usage.extend(self.take_vector(Embedded { request, index, vector, prompt_tokens, last }));
            }
            None => {}
        }
        (None, usage)
    }

    fn take_piece(&mut self, piece: Piece) -> Option<(Account, Finished)> {
        let (request, finished) = (piece.request, piece.finished.clone());
        let running = self.running.get_mut(&request)?;
        let account = running.account;
        running.answer_len += piece.encoded_len();
        let fragment = Fragment::of(piece);
        let over = running.answer_len > ANSWER_LEN_MAX;
        if let Some(events) = &running.events {
            let mut full = over;
            if !fragment.is_empty() {
                full |= events.try_send(Event::Piece(fragment)).is_err();
            }
            if let Some(finished) = &finished {
                full |= events.try_send(Event::Finished(finished.clone())).is_err();
            }
            if full && finished.is_none() {
                self.cancel(request);
            }
        }
        if finished.is_some() {
            self.running.remove(&request);
        }
        finished.map(|finished| (account, finished))
    }

    fn take_vector(&mut self, embedded: Embedded) -> Option<(Account, Finished)> {
        let len = embedded.vector.len();
        if len == 0 || len > VECTOR_LEN_MAX || !embedded.vector.iter().all(|number| number.is_finite()) {
            self.distrust();
            return None;
        }
        let request = embedded.request;
        let running = self.running.get_mut(&request)?;
        running.prompt_tokens = running.prompt_tokens.saturating_add(embedded.prompt_tokens);
        let finished = embedded.last.then(|| Finished {
            reason: "stop".into(),
            prompt_tokens: running.prompt_tokens,
            ..Finished::default()
        });
        let account = running.account;
        if let Some(events) = &running.events {
            // A frame holds fewer texts than the channel takes, so only a reader that is gone misses one.
            let _ = events.try_send(Event::Vector(embedded));
            if let Some(finished) = &finished {
                let _ = events.try_send(Event::Finished(finished.clone()));
            }
        }
        if finished.is_some() {
            self.running.remove(&request);
        }
        finished.map(|finished| (account, finished))
    }
}

/// About how many tokens a request makes a worker evaluate: its text and its answer.
fn cost(work: &to_worker::Frame) -> u64 {
    let (len, answer) = match work {
        to_worker::Frame::Generate(generate) => match generate.max_tokens {
            0 => (generate.encoded_len(), ANSWER_TOKENS_GUESS),
            tokens => (generate.encoded_len(), u64::from(tokens)),
        },
        to_worker::Frame::Embed(embed) => (embed.encoded_len(), 0),
        // The question is read once for each text.
        to_worker::Frame::Rank(rank) => {
            (rank.encoded_len().saturating_add(rank.question.len().saturating_mul(rank.texts.len())), 0)
        }
        to_worker::Frame::Cancel(_) => (0, 0),
    };
    (len as u64 / BYTES_PER_TOKEN_GUESS).saturating_add(answer)
}

/// A worker's message, as far as it may be shown.
fn printable(message: &str) -> String {
    let shown: String =
        message.chars().filter(|c| !c.is_control()).take(WORKER_MESSAGE_LEN_MAX / 4).collect();
    if shown.is_empty() { "the model could not answer".to_owned() } else { shown }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
