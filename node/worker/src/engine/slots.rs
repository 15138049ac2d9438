//! The slots: sequences of the one cache, each with what is evaluated in it, and perhaps a stream.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::token::LlamaToken;

use crate::engine::batch::{Demand, Share};
use crate::engine::prefix::{self, Choice, View};
use crate::engine::stream::Stream;

#[derive(Debug, Default)]
struct Slot {
    /// Tokens in the cache, at positions 0 and up.
    cached: Vec<LlamaToken>,
    partition: u64,
    used: u64,
    stream: Option<Stream>,
}

/// All slots of a context. The index of a slot is its sequence in llama.cpp.
#[derive(Debug)]
pub struct Slots {
    slots: Vec<Slot>,
    /// Whether a part of a sequence can be copied or cut off; recurrent state knows only the whole.
    divisible: bool,
    uses: u64,
}

impl Slots {
    /// `count` empty slots.
    #[must_use]
    pub fn new(count: u32, divisible: bool) -> Self {
        Self { slots: (0..count).map(|_| Slot::default()).collect(), divisible, uses: 0 }
    }

    /// Whether any stream is under way.
    #[must_use]
    pub fn busy(&self) -> bool {
        self.slots.iter().any(|slot| slot.stream.is_some())
    }

    /// The slot that answers this request.
    #[must_use]
    pub fn find(&self, request: u64) -> Option<usize> {
        self.slots.iter().position(|slot| slot.stream.as_ref().is_some_and(|s| s.request == request))
    }

    /// The stream of a slot.
    pub fn stream(&mut self, slot: usize) -> Option<&mut Stream> {
        self.slots.get_mut(slot)?.stream.as_mut()
    }

    /// What each stream could evaluate next.
    #[must_use]
    pub fn demands(&self) -> Vec<Demand> {
        let demand = |(index, slot): (usize, &Slot)| {
            let stream = slot.stream.as_ref()?;
            let pending =
                stream.tokens.len().checked_sub(slot.cached.len()).filter(|pending| *pending > 0)?;
            Some(Demand { slot: index, pending, running: stream.running() })
        };
        self.slots.iter().enumerate().filter_map(demand).collect()
    }

    /// The tokens of a share: their first position, themselves, and whether they are the last that is known.
    #[must_use]
    pub fn pending(&self, share: &Share) -> Option<(usize, &[LlamaToken], bool)> {
        let slot = self.slots.get(share.slot)?;
        let tokens = &slot.stream.as_ref()?.tokens;
        let (first, end) = (slot.cached.len(), slot.cached.len() + share.tokens);
        Some((first, tokens.get(first..end)?, end == tokens.len()))
    }

    /// The tokens of a share are in the cache now.
    pub fn evaluated(&mut self, share: &Share) {
        if let Some(Slot { cached, stream: Some(stream), .. }) = self.slots.get_mut(share.slot) {
            let end = (cached.len() + share.tokens).min(stream.tokens.len());
            cached.extend_from_slice(&stream.tokens[cached.len()..end]);
        }
    }

    /// Takes an idle slot for a prompt and keeps what is evaluated of it already: gives the slot and how much.
    pub fn take(
        &mut self,
        context: &mut LlamaContext<'_>,
        partition: u64,
        prompt: &[LlamaToken],
    ) -> Option<(usize, usize)> {
        let views: Vec<_> = self
            .slots
            .iter()
            .map(|slot| View {
                partition: slot.partition,
                cached: &slot.cached,
                idle: slot.stream.is_none(),
                used: slot.used,
            })
            .collect();
        let choice = prefix::choose(&views, partition, prompt)?;
        let keep = self.arrange(context, choice).unwrap_or(0);
        let slot = self.slots.get_mut(choice.slot)?;
        if keep == 0 {
            // Removing a whole sequence always succeeds.
            let _ = context.clear_kv_cache_seq(u32::try_from(choice.slot).ok(), None, None);
        }
        slot.cached = prompt[..keep].to_vec();
        slot.partition = partition;
        Some((choice.slot, keep))
    }

    /// Brings the chosen prefix into the chosen slot, and nothing else; none if that was impossible.
    fn arrange(&self, context: &mut LlamaContext<'_>, choice: Choice) -> Option<usize> {
        let Choice { slot, keep, from } = choice;
        let sequence = u32::try_from(slot).ok()?;
        let position = u32::try_from(keep).ok()?;
        let Some(from) = from else {
            let whole = self.slots.get(slot)?.cached.len() == keep;
            let done = whole
                || (self.divisible
                    && context.clear_kv_cache_seq(Some(sequence), Some(position), None).ok()?);
            return done.then_some(keep);
        };
        if !self.divisible {
            return None;
        }
        context.clear_kv_cache_seq(Some(sequence), None, None).ok()?;
        let (from, to) = (i32::try_from(from).ok()?, i32::try_from(slot).ok()?);
        context.copy_kv_cache_seq(from, to, Some(0), Some(position)).ok()?;
        Some(keep)
    }

    /// Gives a slot that was taken its stream.
    pub fn begin(&mut self, slot: usize, stream: Stream) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.stream = Some(stream);
        }
    }

    /// Takes the stream out; what is evaluated stays for the next one.
    pub fn end(&mut self, slot: usize) -> Option<Stream> {
        self.uses += 1;
        let slot = self.slots.get_mut(slot)?;
        slot.used = self.uses;
        slot.stream.take()
    }

    /// Forgets everything; gives the requests that were under way.
    pub fn clear(&mut self) -> Vec<u64> {
        let taken = self.slots.iter_mut().map(std::mem::take);
        taken.filter_map(|slot| slot.stream.map(|stream| stream.request)).collect()
    }
}
