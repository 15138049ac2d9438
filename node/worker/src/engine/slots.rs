//! The slots: sequences with a part of the cache each, what is evaluated in it, and perhaps a stream.

use std::sync::Arc;

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
    began: u64,
    stream: Option<Stream>,
    /// What the last step said after the first so many tokens: an exact repeat evaluates nothing.
    kept: Option<Kept>,
}

/// The logits after a prompt, and how long it was.
#[derive(Clone, Debug)]
struct Kept {
    len: usize,
    logits: Arc<[f32]>,
}

/// Tokens that a share evaluates.
#[derive(Debug)]
pub struct Pending {
    /// Position of the first.
    pub first: usize,
    /// Themselves, guesses included.
    pub tokens: Vec<LlamaToken>,
    /// From which of them on logits are wanted.
    pub wanted_from: usize,
}

/// A slot that was taken for a prompt.
#[derive(Debug)]
pub struct Taken {
    /// Which.
    pub slot: usize,
    /// Tokens of the prompt that are evaluated already.
    pub keep: usize,
    /// What the model says after the whole prompt, if it was evaluated to its end before.
    pub logits: Option<Arc<[f32]>>,
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

    /// The request that a slot answers.
    #[must_use]
    pub fn request(&self, slot: usize) -> Option<u64> {
        self.slots.get(slot)?.stream.as_ref().map(|stream| stream.request)
    }

    /// The step was cut short: what it may have left in the cache goes.
    pub fn undo(&mut self, context: &mut LlamaContext<'_>, shares: &[Share]) {
        for share in shares {
            if self.divisible && self.forget_guesses(context, share.slot) {
                continue;
            }
            // State that cannot be cut is evaluated again from its beginning. Removing a whole sequence succeeds.
            let _ = context.clear_kv_cache_seq(u32::try_from(share.slot).ok(), None, None);
            if let Some(slot) = self.slots.get_mut(share.slot) {
                slot.cached.clear();
                slot.kept = None;
            }
        }
    }

    /// What each stream could evaluate next.
    #[must_use]
    pub fn demands(&self) -> Vec<Demand> {
        let demand = |(index, slot): (usize, &Slot)| {
            let stream = slot.stream.as_ref()?;
            let pending =
                stream.tokens.len().checked_sub(slot.cached.len()).filter(|pending| *pending > 0)?;
            // After a shift of the context a stream that runs has much to evaluate again.
            let running = stream.running() && pending == 1;
            let pending = if running { pending + stream.draft.len() } else { pending };
            Some(Demand { slot: index, pending, running, order: slot.began })
        };
        self.slots.iter().enumerate().filter_map(demand).collect()
    }

    /// The tokens of a share.
    #[must_use]
    pub fn pending(&self, share: &Share) -> Option<Pending> {
        let slot = self.slots.get(share.slot)?;
        let stream = slot.stream.as_ref()?;
        let first = slot.cached.len();
        let known = stream.tokens.get(first..)?;
        let mut tokens: Vec<_> = known.iter().copied().take(share.tokens).collect();
        // Logits are wanted after the last known token, and after every guess.
        let wanted_from = if tokens.len() == known.len() { tokens.len().checked_sub(1)? } else { usize::MAX };
        let guesses = share.tokens - tokens.len();
        tokens.extend(stream.draft.iter().take(guesses));
        Some(Pending { first, tokens, wanted_from })
    }

    /// Guesses ahead for a stream that runs alone, as far as one step bears: several use the machine as well without, and
    /// streams of unequal length are not evaluated at once.
    pub fn guess(&mut self, most: usize) {
        let alone = self.slots.iter().filter(|slot| slot.stream.is_some()).count() == 1;
        let mut left = if self.divisible && alone { most } else { 0 };
        for slot in &mut self.slots {
            let Some(stream) = &mut slot.stream else { continue };
            stream.draft.clear();
            if stream.running() && stream.tokens.len() == slot.cached.len() + 1 {
                stream.guess(left);
                left -= stream.draft.len().min(left);
            }
        }
    }

    /// The next guess of a slot was right, so its token is in the cache.
    pub fn confirm(&mut self, slot: usize, token: LlamaToken) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.cached.push(token);
        }
    }

    /// Takes what is in the cache beyond the confirmed tokens out of it.
    pub fn forget_guesses(&mut self, context: &mut LlamaContext<'_>, slot: usize) -> bool {
        let Some(len) = self.slots.get(slot).map(|slot| slot.cached.len()) else { return false };
        let (sequence, position) = (u32::try_from(slot).ok(), u32::try_from(len).ok());
        context.clear_kv_cache_seq(sequence, position, None).unwrap_or(false)
    }

    /// Keeps what the model says after the whole prompt of a slot.
    pub fn keep(&mut self, slot: usize, logits: &[f32]) {
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.kept = Some(Kept { len: slot.cached.len(), logits: logits.into() });
        }
    }

    /// Makes room in every context that is full and whose request wants that. What stays is evaluated again at its
    /// new place: moved cells could be another stream's as well.
    pub fn shift(&mut self, context: &mut LlamaContext<'_>) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(keep) = slot.stream.as_mut().and_then(Stream::shift) else { continue };
            let sequence = u32::try_from(index).ok();
            let position = u32::try_from(keep).ok();
            let cut = self.divisible && context.clear_kv_cache_seq(sequence, position, None).unwrap_or(false);
            if !cut {
                let _ = context.clear_kv_cache_seq(sequence, None, None);
            }
            slot.cached.truncate(if cut { keep } else { 0 });
            slot.kept = None;
        }
    }

    /// The tokens of a share are in the cache now.
    pub fn evaluated(&mut self, share: &Share) {
        if let Some(Slot { cached, stream: Some(stream), .. }) = self.slots.get_mut(share.slot) {
            let end = (cached.len() + share.tokens).min(stream.tokens.len());
            // Guesses of the share are confirmed one by one.
            cached.extend_from_slice(&stream.tokens[cached.len()..end]);
        }
    }

    /// Takes an idle slot for a prompt and keeps what is evaluated of it already: gives the slot and how much.
    pub fn take(
        &mut self,
        context: &mut LlamaContext<'_>,
        partition: u64,
        prompt: &[LlamaToken],
    ) -> Option<Taken> {
        let views: Vec<_> = self
            .slots
            .iter()
            .map(|slot| View {
                partition: slot.partition,
                cached: &slot.cached,
                idle: slot.stream.is_none(),
                used: slot.used,
                whole: slot.kept.as_ref().map(|kept| kept.len),
            })
            .collect();
        let mut choice = prefix::choose(&views, partition, prompt)?;
        if self.divisible {
            choice = prefix::beside(&views, choice);
        }
        if let Some(shelter) = choice.shelter {
            copy(context, choice.slot, shelter)?;
            let moved = std::mem::take(self.slots.get_mut(choice.slot)?);
            *self.slots.get_mut(shelter)? = moved;
        }
        let kept = self.slots.get(choice.from.unwrap_or(choice.slot))?.kept.clone();
        let keep = self.arrange(context, choice).unwrap_or(0);
        let slot = self.slots.get_mut(choice.slot)?;
        slot.kept = kept.filter(|kept| kept.len == keep);
        let logits = slot.kept.as_ref().filter(|_| keep == prompt.len()).map(|kept| Arc::clone(&kept.logits));
        if keep == 0 {
            // Removing a whole sequence always succeeds.
            let _ = context.clear_kv_cache_seq(u32::try_from(choice.slot).ok(), None, None);
        }
        slot.cached = prompt[..keep].to_vec();
        slot.partition = partition;
        Some(Taken { slot: choice.slot, keep, logits })
    }

    /// Brings the chosen prefix into the chosen slot, and nothing else; none if that was impossible.
    fn arrange(&self, context: &mut LlamaContext<'_>, choice: Choice) -> Option<usize> {
        let Choice { slot, keep, from, .. } = choice;
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
        copy(context, from, slot)?;
        context.clear_kv_cache_seq(Some(sequence), Some(position), None).ok()?.then_some(keep)
    }

    /// Gives a slot that was taken its stream.
    pub fn begin(&mut self, slot: usize, stream: Stream) {
        self.uses += 1;
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.began = self.uses;
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

/// Copies a whole sequence over another. llama.cpp does it before the next step, in the order of the calls.
fn copy(context: &mut LlamaContext<'_>, from: usize, to: usize) -> Option<()> {
    let (from, to) = (i32::try_from(from).ok()?, i32::try_from(to).ok()?);
    context.copy_kv_cache_seq(from, to, None, None).ok()
}
