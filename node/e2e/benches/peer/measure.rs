//! What is measured, pair by pair. The side that goes first changes with each pair, so that a machine that slows down or
//! speeds up favors neither.

use std::sync::mpsc;
use std::time::Instant;

use croft_e2e::E2eError;
use tempfile::TempDir;

use crate::ratio::Ratios;
use crate::sides::{Ours, Peer, Settings, resident_mib};
use crate::stream::{Endpoint, Stream, aggregate, joined};

/// Tokens of one decoded stream: long enough that its start and end do not count.
const DECODED: u32 = 128;
/// New tokens after a cached prefix.
const NEW: usize = 16;
/// The prompt that others have to wait for, in tokens.
const LONG: usize = 4000;

/// Both sides, running.
pub struct Bench {
    settings: Settings,
    ours: Ours,
    peer: Peer,
    words: Words,
    _folder: TempDir,
}

impl Bench {
    /// Starts both sides.
    ///
    /// # Errors
    /// If one does not come up.
    pub fn start(settings: Settings) -> Result<Self, E2eError> {
        let folder = tempfile::tempdir().map_err(E2eError::io("make a temporary folder"))?;
        let ours = Ours::start(folder.path(), &settings)?;
        let peer = Peer::start(folder.path(), &settings)?;
        Ok(Self { settings, ours, peer, words: Words::new(), _folder: folder })
    }

    /// Measures everything and prints a row as each figure is done.
    ///
    /// # Errors
    /// If a side stops answering.
    pub fn run(mut self) -> Result<(), E2eError> {
        println!(
            "{} pairs; {} slots of {} tokens, {} threads\n",
            self.settings.pairs, self.settings.slots, self.settings.context, self.settings.threads
        );
        println!(
            "| figure | Croft, median | peer, median | speed over the peer's (95 %) | aim | reached |\n|---|---|---|---|---|---|"
        );
        self.starts()?;
        for tokens in [512, 2048] {
            self.prompts(tokens)?;
        }
        self.rates("decode of one stream, tokens/s", 1)?;
        self.rates("4 streams together, tokens/s", 4)?;
        self.rates("8 streams together, tokens/s", 8)?;
        self.gaps()?;
        self.memory()
    }

    // In turns: Croft first in even pairs.
    fn pair<T>(
        &mut self,
        round: usize,
        mut measure: impl FnMut(&Endpoint, &mut Words) -> Result<T, E2eError>,
    ) -> Result<(T, T), E2eError> {
        let (ours, peer) = (self.ours.endpoint()?, self.peer.endpoint());
        if round.is_multiple_of(2) {
            let first = measure(&ours, &mut self.words)?;
            Ok((first, measure(&peer, &mut self.words)?))
        } else {
            let first = measure(&peer, &mut self.words)?;
            Ok((measure(&ours, &mut self.words)?, first))
        }
    }

    fn starts(&mut self) -> Result<(), E2eError> {
        let mut starts = Ratios::of_time("start to first answer, ms", 0.97);
        for _ in 0..self.settings.pairs {
            let ours = self.ours.restart()?;
            let Some(peers) = self.peer.restart()? else { return Ok(()) };
            starts.push(ours, peers);
        }
        println!("{}", starts.row());
        Ok(())
    }

    fn prompts(&mut self, tokens: usize) -> Result<(), E2eError> {
        let mut cold = Ratios::of_time(format!("first token after {tokens} new, ms"), 0.97);
        let mut suffix = Ratios::of_time(format!("first token, {NEW} new after {tokens} cached, ms"), 1.25);
        let mut again = Ratios::of_time(format!("first token, {tokens} repeated exactly, ms"), 1.0 / 0.3);
        for round in 0..self.settings.pairs {
            let (ours, peers) = self.pair(round, |side, words| {
                let prefix = words.line(tokens - 1 - NEW);
                let first = side.complete(&format!("{prefix} {}", words.line(NEW)), 1, None)?.first_ms();
                let next = format!("{prefix} {}", words.line(NEW));
                let second = side.complete(&next, 1, None)?.first_ms();
                Ok([first, second, side.complete(&next, 1, None)?.first_ms()])
            })?;
            for (ratios, (ours, peers)) in
                [&mut cold, &mut suffix, &mut again].into_iter().zip(ours.into_iter().zip(peers))
            {
                ratios.push(ours, peers);
            }
        }
        println!("{}\n{}\n{}", cold.row(), suffix.row(), again.row());
        Ok(())
    }

    fn rates(&mut self, name: &str, streams: usize) -> Result<(), E2eError> {
        let mut ratios = Ratios::of_rate(name, 0.97);
        for round in 0..self.settings.pairs {
            let (ours, peers) = self.pair(round, |side, words| {
                let prompts: Vec<String> = (0..streams).map(|_| words.line(31)).collect();
                let done = side.complete_all(&prompts, DECODED)?;
                Ok(if let [only] = done.as_slice() { only.decode() } else { aggregate(&done) })
            })?;
            ratios.push(ours, peers);
        }
        println!("{}", ratios.row());
        Ok(())
    }

    fn gaps(&mut self) -> Result<(), E2eError> {
        let mut ratios =
            Ratios::of_time(format!("longest gap of 3 streams while {LONG} tokens are read, ms"), 2.0);
        for round in 0..self.settings.pairs {
            let (ours, peers) = self.pair(round, longest_gap)?;
            ratios.push(ours, peers);
        }
        println!("{}", ratios.row());
        Ok(())
    }

    fn memory(&self) -> Result<(), E2eError> {
        let peers = self.peer.pids();
        if peers.is_empty() {
            return Ok(());
        }
        let (ours, peers) = (resident_mib(&self.ours.pids()?), resident_mib(&peers));
        println!("| resident after all this, MiB | {ours:.0} | {peers:.0} | {:.2} | 1.00 | |", peers / ours);
        Ok(())
    }
}

// Three streams run; then a long prompt comes. The longest pause any of the three sees until its first token.
fn longest_gap(side: &Endpoint, words: &mut Words) -> Result<f64, E2eError> {
    let prompts: Vec<String> = (0..3).map(|_| words.line(31)).collect();
    let long = words.line(LONG - 1);
    std::thread::scope(|scope| {
        let (started, starts) = mpsc::channel();
        let running: Vec<_> = prompts
            .iter()
            .map(|prompt| {
                let started = started.clone();
                scope.spawn(move || side.complete(prompt, 512, Some(&started)))
            })
            .collect();
        for _ in &prompts {
            starts.recv().map_err(|e| E2eError::unexpected("a running stream", e))?;
        }
        let from = Instant::now();
        let read = side.complete(&long, 1, None)?;
        let streams: Vec<Stream> = running.into_iter().map(joined).collect::<Result<_, _>>()?;
        let gaps = streams.iter().flat_map(|stream| stream.pieces.windows(2));
        let longest = gaps
            .filter_map(|pair| match pair {
                [a, b] if *b > from && *a < read.ended => Some(*b - *a),
                _ => None,
            })
            .max();
        Ok(longest.map_or(f64::NAN, |gap| gap.as_secs_f64() * 1e3))
    })
}

/// Words of three letters that nobody has seen before.
pub struct Words(u64);

impl Words {
    /// Words that no earlier run has had.
    pub fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(now.map_or(1, |since| u64::try_from(since.as_nanos()).unwrap_or(1)) | 1)
    }

    // xorshift64 (Marsaglia 2003): enough to make words.
    fn letter(&mut self) -> char {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        char::from(b'a' + u8::try_from(self.0 >> 33 & 0xff).unwrap_or_default() % 26)
    }

    /// `count` words with spaces between.
    pub fn line(&mut self, count: usize) -> String {
        let word = |words: &mut Self| (0..3).map(|_| words.letter()).collect::<String>();
        (0..count).map(|_| word(self)).collect::<Vec<_>>().join(" ")
    }
}
