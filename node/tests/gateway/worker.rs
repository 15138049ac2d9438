//! A peer that speaks as a worker does, with answers that a test can foretell.

use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::thread::JoinHandle;

use croft_proto::frames::{
    Assembler, Embed, Embedded, Failed, Finished, FromWorker, Generate, Piece, Rank, Ranked, Ready, Step,
    ToWorker, from_worker, generate, to_worker,
};
use rustix::event::{PollFd, PollFlags};

use crate::peers::{pair, recv, send};

/// A peer that speaks as `croft-worker` does. It answers a prompt with `ok: PROMPT` in two pieces; one that holds
/// `hang` gets a first piece and no end; `refuse` gets a refusal. A text becomes the vector of its length, its index in
/// the frame, and 1; its score is its length.
pub struct Worker {
    pub generates: mpsc::Receiver<Generate>,
    pub embeds: mpsc::Receiver<Embed>,
    pub ranks: mpsc::Receiver<Rank>,
    pub cancels: mpsc::Receiver<u64>,
    life: OwnedFd,
    thread: JoinHandle<()>,
}

impl Worker {
    pub fn start(socket: OwnedFd, generation: u32) -> Self {
        let (generates_in, generates) = mpsc::channel();
        let (embeds_in, embeds) = mpsc::channel();
        let (ranks_in, ranks) = mpsc::channel();
        let (cancels_in, cancels) = mpsc::channel();
        let (life, life_inside) = pair();
        let thread = std::thread::spawn(move || {
            let ready = Ready {
                context_tokens: 4096,
                slots: 4,
                architecture: "qwen2".into(),
                chat: true,
                infill: true,
                embedding_len: 3,
                ranks: true,
            };
            send(&socket, &FromWorker { generation, frame: Some(from_worker::Frame::Ready(ready)) });
            let mut assembler = Assembler::default();
            while is_alive(&socket, &life_inside)
                && let Some(message) = recv::<ToWorker>(&socket, &mut assembler)
            {
                if message.generation != generation {
                    continue;
                }
                match message.frame {
                    Some(to_worker::Frame::Generate(generate)) => {
                        for frame in answers(&generate) {
                            send(&socket, &FromWorker { generation, frame: Some(frame) });
                        }
                        let _ = generates_in.send(generate);
                    }
                    Some(to_worker::Frame::Cancel(cancel)) => {
                        let frame = step(cancel.request, "", Some("cancelled"));
                        send(&socket, &FromWorker { generation, frame: Some(frame) });
                        let _ = cancels_in.send(cancel.request);
                    }
                    Some(to_worker::Frame::Embed(embed)) => {
                        for frame in vectors(&embed) {
                            send(&socket, &FromWorker { generation, frame: Some(frame) });
                        }
                        let _ = embeds_in.send(embed);
                    }
                    Some(to_worker::Frame::Rank(rank)) => {
                        for frame in scores(&rank) {
                            send(&socket, &FromWorker { generation, frame: Some(frame) });
                        }
                        let _ = ranks_in.send(rank);
                    }
                    None => {}
                }
            }
        });
        Self { generates, embeds, ranks, cancels, life, thread }
    }

    /// Ends; its socket lives on, as a slot's does.
    pub fn crash(self) {
        drop(self.life);
        self.thread.join().expect("the thread");
    }
}

/// Waits until there is something to read; false once the worker is to end.
fn is_alive(socket: &OwnedFd, life: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(socket, PollFlags::IN), PollFd::new(life, PollFlags::IN)];
    rustix::event::poll(&mut watched, None).expect("poll");
    watched[1].revents().is_empty()
}

fn answers(generate: &Generate) -> Vec<from_worker::Frame> {
    let prompt = match &generate.input {
        Some(generate::Input::Prompt(prompt)) => prompt.clone(),
        Some(generate::Input::Chat(chat)) => chat.messages.last().expect("a message").content.clone(),
        Some(generate::Input::Infill(infill)) => format!("{}[]{}", infill.prefix, infill.suffix),
        None => String::new(),
    };
    if prompt.contains("refuse") {
        let failed = Failed {
            request: generate.request,
            code: "E-CONTEXT-FULL".into(),
            message: "the prompt has 5000 tokens, the context holds 4096".into(),
        };
        return vec![from_worker::Frame::Failed(failed)];
    }
    let first = step(generate.request, "ok: ", None);
    if prompt.contains("hang") {
        return vec![first];
    }
    let pieces = prompt.as_bytes().chunks(32 * 1024).map(|piece| {
        let piece = std::str::from_utf8(piece).expect("test prompts are ASCII");
        step(generate.request, piece, None)
    });
    std::iter::once(first).chain(pieces).chain([step(generate.request, "", Some("stop"))]).collect()
}

fn vectors(embed: &Embed) -> Vec<from_worker::Frame> {
    if embed.texts.iter().any(|text| text.contains("refuse")) {
        let (code, message) = ("E-CONTEXT-FULL".into(), "a text is longer than the model's context".into());
        return vec![from_worker::Frame::Failed(Failed { request: embed.request, code, message })];
    }
    let vector = |(index, text): (u32, &String)| {
        // The one number of a false vector is none.
        let vector = if text == "lie" { vec![f32::NAN] } else { vec![text.len() as f32, index as f32, 1.0] };
        let last = index as usize + 1 == embed.texts.len();
        from_worker::Frame::Embedded(Embedded {
            request: embed.request,
            index,
            vector,
            prompt_tokens: 2,
            last,
        })
    };
    (0..).zip(&embed.texts).map(vector).collect()
}

fn scores(rank: &Rank) -> Vec<from_worker::Frame> {
    let score = |(index, text): (u32, &String)| {
        let last = index as usize + 1 == rank.texts.len();
        let score = if text == "lie" { f32::NAN } else { text.len() as f32 };
        from_worker::Frame::Ranked(Ranked { request: rank.request, index, score, prompt_tokens: 2, last })
    };
    (0..).zip(&rank.texts).map(score).collect()
}

fn step(request: u64, text: &str, end: Option<&str>) -> from_worker::Frame {
    let finished = end.map(|reason| Finished {
        reason: reason.into(),
        prompt_tokens: 5,
        cached_tokens: 1,
        completion_tokens: 2,
        prefill_us: 1000,
        decode_us: 2000,
    });
    let piece = Piece { request, text: text.into(), tokens: 1, finished, ..Piece::default() };
    from_worker::Frame::Step(Step { pieces: vec![piece] })
}
