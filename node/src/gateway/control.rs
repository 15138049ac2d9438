//! The daemon's line: policy and news of workers in; the self-test, readiness and counters out. Nothing that goes out
//! can carry text that a user wrote, by the types of its messages.

use std::cell::RefCell;
use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::rc::Rc;

use croft_domain::data_class::DataClass;
use croft_domain::usage::Sensitivity;
use croft_proto::frames::{
    Assembler, AtRest, Finished, FromGateway, KeepAlive, KindCount, PACKET_LEN_MAX, SlotReady, Spent,
    ToGateway, Usage, Wanted, from_gateway, packets,
};
use tokio::sync::Notify;

use super::limits::LAST_WORDS_WAIT;
use super::seqpacket::{PacketSocket, read_packet};

/// What waits to be told to the daemon. Counters of a slot and a class are summed while they wait, so it cannot grow.
#[derive(Default)]
pub struct Outbox {
    messages: RefCell<VecDeque<from_gateway::Message>>,
    wake: Notify,
}

impl Outbox {
    /// Queues a message.
    pub fn push(&self, message: from_gateway::Message) {
        self.messages.borrow_mut().push_back(message);
        self.wake.notify_one();
    }

    /// Says that a worker answers.
    pub fn slot_ready(&self, slot: u32, generation: u32) {
        self.push(from_gateway::Message::SlotReady(SlotReady { slot, generation }));
    }

    /// Says how long a model should stay loaded. Only the last word on a model counts.
    pub fn keep_alive(&self, slot: u32, seconds: u64) {
        let said = from_gateway::Message::KeepAlive(KeepAlive { slot, seconds });
        self.replace(
            said,
            |message| matches!(message, from_gateway::Message::KeepAlive(k) if k.slot == slot),
        );
    }

    /// Says that a request waits for a worker.
    pub fn wanted(&self, slot: u32) {
        let said = from_gateway::Message::Wanted(Wanted { slot });
        self.replace(said, |message| matches!(message, from_gateway::Message::Wanted(w) if w.slot == slot));
    }

    /// Says what a caller has used today.
    pub fn spent(&self, spent: Spent) {
        let said = from_gateway::Message::Spent(spent);
        self.replace(
            said,
            |message| matches!(message, from_gateway::Message::Spent(s) if s.uid == spent.uid),
        );
    }

    /// Queues a message in place of the one that it makes obsolete, so that the queue cannot grow.
    fn replace(&self, new: from_gateway::Message, is_old: impl Fn(&from_gateway::Message) -> bool) {
        self.messages.borrow_mut().retain(|message| !is_old(message));
        self.push(new);
    }

    /// Says that nothing is on its way to a worker.
    pub fn at_rest(&self, slot: u32, generation: u32) {
        self.push(from_gateway::Message::AtRest(AtRest { slot, generation }));
    }

    /// Counts a finished request for data of a class.
    pub fn usage(&self, slot: u32, class: Sensitivity, finished: &Finished) {
        self.count(Usage {
            slot,
            data_class: class.number(),
            requests: 1,
            prompt_tokens: u64::from(finished.prompt_tokens),
            completion_tokens: u64::from(finished.completion_tokens),
            ..Usage::default()
        });
    }

    /// Counts a request or an answer in which content of these kinds was replaced.
    pub fn redacted(&self, slot: u32, class: Sensitivity, kinds: &BTreeSet<DataClass>) {
        self.count(Usage { redacted: 1, ..found(slot, class, kinds) });
    }

    /// Counts a request or an answer that was refused for content of these kinds.
    pub fn blocked(&self, slot: u32, class: Sensitivity, kinds: &BTreeSet<DataClass>) {
        self.count(Usage { blocked: 1, ..found(slot, class, kinds) });
    }

    fn count(&self, more: Usage) {
        let mut messages = self.messages.borrow_mut();
        let waiting = messages.iter_mut().find_map(|message| match message {
            from_gateway::Message::Usage(usage)
                if (usage.slot, usage.data_class) == (more.slot, more.data_class) =>
            {
                Some(usage)
            }
            _ => None,
        });
        if let Some(usage) = waiting {
            let Usage { slot: _, data_class: _, requests, prompt_tokens, .. } = more;
            let Usage { completion_tokens, redacted, blocked, kinds, .. } = more;
            usage.requests = usage.requests.saturating_add(requests);
            usage.prompt_tokens = usage.prompt_tokens.saturating_add(prompt_tokens);
            usage.completion_tokens = usage.completion_tokens.saturating_add(completion_tokens);
            usage.redacted = usage.redacted.saturating_add(redacted);
            usage.blocked = usage.blocked.saturating_add(blocked);
            for KindCount { kind, requests } in kinds {
                match usage.kinds.iter_mut().find(|known| known.kind == kind) {
                    Some(known) => known.requests = known.requests.saturating_add(requests),
                    None => usage.kinds.push(KindCount { kind, requests }),
                }
            }
        } else {
            messages.push_back(from_gateway::Message::Usage(more));
        }
        drop(messages);
        self.wake.notify_one();
    }

    /// Waits, within [`LAST_WORDS_WAIT`], until all was taken to be sent.
    pub async fn sent(&self) {
        let all = async {
            while !self.messages.borrow().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(LAST_WORDS_WAIT, all).await;
    }

    async fn next(&self) -> from_gateway::Message {
        loop {
            let message = self.messages.borrow_mut().pop_front();
            match message {
                Some(message) => return message,
                None => self.wake.notified().await,
            }
        }
    }
}

/// Content of these kinds in one request or answer.
fn found(slot: u32, class: Sensitivity, kinds: &BTreeSet<DataClass>) -> Usage {
    let kinds = kinds.iter().map(|kind| KindCount { kind: kind.number(), requests: 1 });
    Usage { slot, data_class: class.number(), kinds: kinds.collect(), ..Usage::default() }
}

/// Serves the line: hands what comes to `take`, sends what is queued.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] when the daemon is gone, [`io::ErrorKind::InvalidData`] when it breaks the framing.
pub async fn serve(
    socket: &PacketSocket,
    outbox: &Rc<Outbox>,
    take: impl FnMut(ToGateway),
) -> io::Result<()> {
    tokio::try_join!(read(socket, take), write(socket, outbox)).map(|_| ())
}

async fn read(socket: &PacketSocket, mut take: impl FnMut(ToGateway)) -> io::Result<()> {
    let mut assembler = Assembler::default();
    let mut buffer = vec![0; PACKET_LEN_MAX + 1];
    loop {
        let len = socket.recv(|fd| read_packet(fd, &mut buffer)).await?;
        let frame = assembler
            .push::<ToGateway>(&buffer[..len])
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(frame) = frame {
            take(frame);
        }
    }
}

async fn write(socket: &PacketSocket, outbox: &Outbox) -> io::Result<()> {
    loop {
        send(socket, outbox.next().await).await?;
    }
}

/// Sends one message.
///
/// # Errors
/// What the kernel says.
pub async fn send(socket: &PacketSocket, message: from_gateway::Message) -> io::Result<()> {
    let frame = FromGateway { message: Some(message) };
    for packet in packets(&frame).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))? {
        socket.send(&packet).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_a_slot_and_a_class_are_summed_while_they_wait() {
        let (internal, public) = (Sensitivity::Internal, Sensitivity::Public);
        let outbox = Outbox::default();
        let finished = Finished { prompt_tokens: 3, completion_tokens: 2, ..Finished::default() };
        for (slot, class) in [(1, internal), (2, internal), (1, public), (1, internal)] {
            outbox.usage(slot, class, &finished);
        }
        let cards: BTreeSet<DataClass> = [DataClass::PaymentCards].into();
        outbox.redacted(1, internal, &cards);
        outbox.blocked(1, internal, &[DataClass::PaymentCards, DataClass::AccessTokens].into());
        let messages: Vec<_> = outbox.messages.borrow().iter().cloned().collect();
        let usage = |slot, class: Sensitivity, n| Usage {
            slot,
            data_class: class.number(),
            requests: n,
            prompt_tokens: 3 * n,
            completion_tokens: 2 * n,
            ..Usage::default()
        };
        let count = |kind: DataClass, requests| KindCount { kind: kind.number(), requests };
        let kinds = vec![count(DataClass::PaymentCards, 2), count(DataClass::AccessTokens, 1)];
        let first = Usage { redacted: 1, blocked: 1, kinds, ..usage(1, internal, 2) };
        let expected = [first, usage(2, internal, 1), usage(1, public, 1)];
        assert_eq!(messages, expected.map(from_gateway::Message::Usage));
    }
}
