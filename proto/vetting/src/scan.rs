//! Everything that is not GGUF, judged by content and never by name. Nothing is unpickled, imported or called here.
//!
//! Whatever is not understood to its last byte does not pass: it is refused if a rule is broken, else unknown. Memory is
//! bounded for any input ([`limits`]); data is streamed. Deliberately absent: rar, whose content is unknown here.

mod compressed;
mod graph;
mod hdf5;
mod json;
mod keras;
mod limits;
mod numpy;
mod onnx;
mod pickle;
mod png;
mod safetensors;
mod sentencepiece;
mod sevenz;
mod sniff;
mod source;
mod tar;
mod tensorflow;
mod text;
mod zip;

use std::io::Read;

use crate::gguf::{self, Depth};
use crate::policy::Policy;
use crate::report::{Finding, Findings, Format, Report, Rule, Severity, Verdict, excerpt};
use compressed::Pace;
use limits::{
    EXPANSION_FREE_LEN, EXPANSION_MAX, HELD_LEN_MAX, MEMBERS_MAX, NESTING_MAX, SLOW_FREE_LEN,
    SLOW_PERCENT_MAX,
};
use pickle::{Persistent, Storages};
pub use source::ReadSeek;
use source::{Source, Stop};

/// Judges one file of `len_bytes` bytes, whatever it is, from its first byte to its last.
pub fn scan(file: &mut dyn ReadSeek, len_bytes: u64) -> Report {
    scan_under(file, len_bytes, &Policy::default())
}

/// The same, with what a signed policy allows.
pub fn scan_under(file: &mut dyn ReadSeek, len_bytes: u64, policy: &Policy) -> Report {
    let mut scan = Scan {
        expansion_left: expansion(len_bytes),
        slow_left: SLOW_FREE_LEN.saturating_add(len_bytes / 100 * SLOW_PERCENT_MAX),
        policy: policy.clone(),
        ..Scan::default()
    };
    let mut source = Source::window(file, 0, len_bytes);
    let format = scan.judge(&mut source);
    let verdict = match (scan.findings.refused(), scan.unknown) {
        (true, _) => Verdict::Refuse,
        (false, true) => Verdict::Unknown,
        (false, false) => Verdict::Pass,
    };
    Report { verdict, findings: scan.findings.into_vec(), ..Report::new(format, len_bytes) }
}

/// How long the content of a file of that length may become.
fn expansion(len_bytes: u64) -> u64 {
    len_bytes.saturating_mul(EXPANSION_MAX).max(EXPANSION_FREE_LEN)
}

/// The state of one judgment.
#[derive(Debug, Default)]
struct Scan {
    findings: Findings,
    policy: Policy,
    unknown: bool,
    /// Members that hold the present one, outermost first.
    place: Vec<String>,
    nesting: u32,
    members: u64,
    held: u64,
    /// Calls that pickles have made.
    calls: u64,
    expansion_left: u64,
    /// What slow decoders may still give, in bytes.
    slow_left: u64,
}

impl Scan {
    fn add(&mut self, mut finding: Finding) {
        if !self.place.is_empty() {
            finding.message = format!("in {}: {}", self.place.join(" in "), finding.message);
        }
        self.findings.add(finding);
    }

    fn refuse(&mut self, rule: Rule, offset: u64, message: impl Into<String>) {
        self.add(Finding { rule, severity: Severity::Refuse, offset: Some(offset), message: message.into() });
    }

    fn note(&mut self, rule: Rule, offset: u64, message: impl Into<String>) {
        self.add(Finding { rule, severity: Severity::Note, offset: Some(offset), message: message.into() });
    }

    fn stopped(&mut self, stop: Stop) {
        match stop {
            Stop::Refused(finding) | Stop::Fatal(finding) => self.add(finding),
            Stop::Unknown(finding) => {
                self.unknown = true;
                self.add(finding);
            }
        }
    }

    /// Judges what `source` holds, and says what it is.
    fn judge(&mut self, source: &mut Source<'_>) -> Format {
        let sniffed = match sniff::sniff(source) {
            Ok(sniffed) => sniffed,
            Err(stop) => {
                self.stopped(stop);
                return Format::Unrecognized;
            }
        };
        self.judge_as(source, sniffed).unwrap_or_else(|stop| {
            self.stopped(stop);
            sniffed.format
        })
    }

    fn judge_as(&mut self, source: &mut Source<'_>, sniffed: sniff::Sniffed) -> Result<Format, Stop> {
        let format = sniffed.format;
        match format {
            Format::Pickle => {
                return pickle::judge(self, source, Persistent::Refused, &mut Storages::new());
            }
            Format::Zip => return self.judge_at_hand(source, zip::judge),
            Format::Gguf => self.judge_gguf(source)?,
            Format::Safetensors => safetensors::judge(source)?,
            Format::Npy => numpy::judge(self, source)?,
            Format::Json => json::judge(self, source)?,
            Format::Tar => tar::judge(self, source)?,
            Format::Gzip => compressed::gzip(self, source)?,
            Format::Zlib => compressed::zlib(self, source)?,
            Format::Bzip2 | Format::Xz | Format::Lzma | Format::Lz4 | Format::Zstd => {
                compressed::packed(self, source, format)?;
            }
            Format::SevenZip => {
                return self.judge_at_hand(source, |scan, at_hand| {
                    sevenz::judge(scan, at_hand).map(|()| Format::SevenZip)
                });
            }
            Format::Onnx => onnx::judge(self, source)?,
            Format::SavedModel => tensorflow::judge(self, source)?,
            Format::Hdf5 => hdf5::judge(self, source)?,
            Format::Sentencepiece => sentencepiece::judge(source)?,
            Format::Png => png::judge(source)?,
            Format::Unrecognized
            | Format::Text
            | Format::Template
            | Format::TorchZip
            | Format::TorchLegacy => {
                return self.judge_unrecognized(source, sniffed.known_as);
            }
        }
        Ok(format)
    }

    /// Perhaps a pickle of the oldest protocols, which has no mark to be known by; perhaps plain text. Else unknown.
    fn judge_unrecognized(
        &mut self,
        source: &mut Source<'_>,
        known_as: Option<&str>,
    ) -> Result<Format, Stop> {
        let unknown =
            |what: &str| Stop::unknown(Rule::F01, 0, format!("{what}; what is not understood does not pass"));
        if let Some(name) = known_as {
            return Err(unknown(&format!("{name} is not judged")));
        }
        let Some(first) = source.peek(1)?.first().copied() else {
            return Err(unknown("the file is empty"));
        };
        if first == b'{' {
            return Err(unknown("what begins as JSON does and is none"));
        }
        if !pickle::may_begin_with(first) {
            return text::judge(source).map(|()| Format::Text);
        }
        let before = std::mem::take(&mut self.findings);
        let calls_before = self.calls;
        let result = pickle::judge(self, source, Persistent::Refused, &mut Storages::new());
        let found = std::mem::replace(&mut self.findings, before);
        let stop = match result {
            Ok(format) => {
                found.into_vec().into_iter().for_each(|finding| self.findings.add(finding));
                return Ok(format);
            }
            Err(stop) => stop,
        };
        let imports = found.refused();
        match stop {
            // No reader comes further, and none has imported anything.
            Stop::Fatal(_) if !imports && source.can_seek() => {
                source.seek(0);
                text::judge(source).map(|()| Format::Text)
            }
            // A list of labels may begin like that. Nothing was called, but a module may have been loaded.
            Stop::Fatal(_) if self.calls == calls_before => Err(unknown("no known format")),
            Stop::Refused(finding) | Stop::Fatal(finding) if !imports => match finding.rule {
                Rule::K01 | Rule::K06 | Rule::K07 | Rule::K10 => Err(unknown("no known format")),
                Rule::K08 if finding.offset.is_none_or(|at| at < 8) => Err(unknown("no known format")),
                _ => {
                    self.add(finding);
                    Ok(Format::Pickle)
                }
            },
            stop => {
                found.into_vec().into_iter().for_each(|finding| self.findings.add(finding));
                Err(stop)
            }
        }
    }

    fn judge_gguf(&mut self, source: &mut Source<'_>) -> Result<(), Stop> {
        let Some(len) = source.len() else {
            return Err(source.unknown(Rule::F01, "a GGUF file of unknown length"));
        };
        let report = gguf::lint_under(source, len, Depth::Full, &self.policy);
        self.unknown |= report.verdict == Verdict::Unknown;
        report.findings.into_iter().for_each(|finding| self.add(finding));
        Ok(())
    }

    /// Some archives need their end first. In a compressed stream they are held in memory, up to a bound.
    fn judge_at_hand(
        &mut self,
        source: &mut Source<'_>,
        judge: fn(&mut Self, &mut Source<'_>) -> Result<Format, Stop>,
    ) -> Result<Format, Stop> {
        if source.can_seek() {
            return judge(self, source);
        }
        let mut bytes = Vec::new();
        let room = HELD_LEN_MAX.saturating_sub(self.held);
        // Grows by what arrives, at most twice as much.
        let result = Read::take(&mut *source, room / 2 + 1).read_to_end(&mut bytes);
        if let Err(error) = result {
            return Err(source::stopped(source.offset(), &error));
        }
        if bytes.len() as u64 > room / 2 {
            return Err(source.unknown(Rule::F04, "an archive in compressed data that is too long to hold"));
        }
        let len = bytes.len() as u64;
        self.held += len * 2;
        let mut cursor = std::io::Cursor::new(bytes);
        let format = judge(self, &mut Source::window(&mut cursor, 0, len));
        self.held -= len * 2;
        format
    }

    /// Sets memory aside for a decoder. Whoever asked gives it back.
    fn hold(&mut self, len: u64, offset: u64) -> Result<(), Stop> {
        if self.held + len > HELD_LEN_MAX {
            let message = "it takes more memory to decode than is spent on one file";
            return Err(Stop::unknown(Rule::F04, offset, message));
        }
        self.held += len;
        Ok(())
    }

    /// How much a decoder of that pace may still give, in bytes.
    fn room(&self, pace: Pace) -> u64 {
        match pace {
            Pace::Fast => self.expansion_left,
            Pace::Slow => self.expansion_left.min(self.slow_left),
        }
    }

    fn spend(&mut self, pace: Pace, len: u64) {
        self.expansion_left = self.expansion_left.saturating_sub(len);
        if pace == Pace::Slow {
            self.slow_left = self.slow_left.saturating_sub(len);
        }
    }

    /// Judges a member of an archive or the content of a compressed stream.
    fn judge_inner(&mut self, name: &[u8], source: &mut Source<'_>) -> Result<Format, Stop> {
        self.enter(name, source.offset())?;
        let format = self.judge(source);
        self.leave();
        Ok(format)
    }

    fn enter(&mut self, name: &[u8], offset: u64) -> Result<(), Stop> {
        if self.nesting >= NESTING_MAX {
            let message = format!("archives lie more than {NESTING_MAX} deep in each other");
            return Err(Stop::refused(Rule::F04, offset, message));
        }
        self.nesting += 1;
        self.place.insert(0, format!("'{}'", excerpt(name)));
        Ok(())
    }

    fn leave(&mut self) {
        self.nesting -= 1;
        self.place.remove(0);
    }

    fn count_member(&mut self, offset: u64) -> Result<(), Stop> {
        self.members += 1;
        if self.members > MEMBERS_MAX {
            return Err(Stop::refused(Rule::F04, offset, format!("more than {MEMBERS_MAX} members")));
        }
        Ok(())
    }
}
