//! How fast each variant of a bundle was on this machine. Survives restarts, so that nothing is measured twice. A record
//! that is lost or was changed by somebody costs a measurement or speed: it decides among approved variants and no more.

use croft_domain::digest::Sha256Digest;
use croft_domain::memory::KvType;
use croft_domain::time::Timestamp;
use croft_domain::variant::choice::Outcome;
use serde::{Deserialize, Serialize};

use super::files::{StateError, read_json, write_json};
use super::paths::Paths;
use crate::limits::MEASURED_KEPT_MAX;

const FILE: &str = "measured.json";

/// Under which circumstances something was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Under {
    /// SHA-256 of the worker.
    pub runtime: Sha256Digest,
    /// Level of its processor back end; empty where it did not come up.
    pub cpu: String,
    /// Threads of the worker.
    pub threads: u32,
    /// How keys and values are stored.
    pub kv: KvType,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum Measurement {
    /// It ran.
    Rate {
        /// Tokens generated in a thousand seconds, of all streams together.
        millitokens_per_s: u64,
        /// Tokens of prompts evaluated in a thousand seconds.
        prompt_millitokens_per_s: u64,
        /// How many streams.
        streams: u32,
    },
    /// It did not come up.
    Failed {
        /// Why, with its code, for a person.
        reason: String,
    },
}

/// One variant, measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// SHA-256 of the signed manifest.
    pub manifest: Sha256Digest,
    /// The variant's first file.
    pub variant: Sha256Digest,
    /// Circumstances.
    pub under: Under,
    /// The result.
    pub measurement: Measurement,
    /// When.
    pub at: Timestamp,
}

impl Record {
    /// As the choice sees it, where circumstances are what they are `now`. What failed is tried again under others.
    #[must_use]
    pub fn outcome(&self, now: Option<&Under>) -> Outcome {
        let is_current = now.is_some_and(|now| self.holds_under(now));
        match self.measurement {
            Measurement::Rate { millitokens_per_s, .. } => Outcome::Rate { millitokens_per_s, is_current },
            Measurement::Failed { .. } if is_current => Outcome::Failed,
            Measurement::Failed { .. } => Outcome::None,
        }
    }

    /// A level that one of both does not know yet is no difference.
    fn holds_under(&self, now: &Under) -> bool {
        let Under { runtime, cpu, threads, kv } = &self.under;
        let same_cpu = cpu.is_empty() || now.cpu.is_empty() || *cpu == now.cpu;
        same_cpu && *runtime == now.runtime && *threads == now.threads && *kv == now.kv
    }
}

/// Everything measured here, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Measured {
    /// One record a variant.
    pub records: Vec<Record>,
}

impl Measured {
    /// Reads it; a damaged file only means that everything is measured again.
    #[must_use]
    pub fn load(paths: &Paths) -> Self {
        read_json(&paths.state_file(FILE)).ok().flatten().unwrap_or_default()
    }

    /// Keeps it.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn save(&self, paths: &Paths) -> Result<(), StateError> {
        write_json(&paths.state_file(FILE), self)
    }

    /// What is known of a variant.
    #[must_use]
    pub fn of(&self, manifest: &Sha256Digest, variant: &Sha256Digest) -> Option<&Record> {
        self.records.iter().find(|record| record.manifest == *manifest && record.variant == *variant)
    }

    /// Takes in a record in place of what was known of its variant.
    pub fn note(&mut self, record: Record) {
        self.records.retain(|old| old.manifest != record.manifest || old.variant != record.variant);
        self.records.push(record);
        let excess = self.records.len().saturating_sub(MEASURED_KEPT_MAX);
        self.records.drain(..excess);
    }

    /// Forgets what is known of a bundle's variants, so that they are measured again.
    pub fn forget(&mut self, manifest: &Sha256Digest) {
        self.records.retain(|record| record.manifest != *manifest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(runtime: u8, cpu: &str) -> Under {
        Under { runtime: Sha256Digest([runtime; 32]), cpu: cpu.to_owned(), threads: 2, kv: KvType::F16 }
    }

    fn record(variant: u8, measurement: Measurement) -> Record {
        Record {
            manifest: Sha256Digest([1; 32]),
            variant: Sha256Digest([variant; 32]),
            under: under(7, "avx2"),
            measurement,
            at: Timestamp(5),
        }
    }

    const RATE: Measurement =
        Measurement::Rate { millitokens_per_s: 61_000, prompt_millitokens_per_s: 1, streams: 4 };

    #[test]
    fn a_figure_is_current_only_under_the_same_circumstances() {
        let is_current = |now: &Under| match record(2, RATE).outcome(Some(now)) {
            Outcome::Rate { millitokens_per_s: 61_000, is_current } => is_current,
            other => panic!("{other:?}"),
        };
        assert!(is_current(&under(7, "avx2")));
        assert!(is_current(&under(7, "")), "before the first worker is up");
        assert!(!is_current(&under(8, "avx2")), "another worker");
        assert!(!is_current(&under(7, "avx512")), "another processor");
        assert!(!is_current(&Under { threads: 3, ..under(7, "avx2") }));
        assert!(!is_current(&Under { kv: KvType::Q8, ..under(7, "avx2") }));
        let failed = record(2, Measurement::Failed { reason: String::new() });
        assert_eq!(failed.outcome(Some(&under(7, "avx2"))), Outcome::Failed);
        assert_eq!(failed.outcome(Some(&under(8, "avx2"))), Outcome::None);
        assert_eq!(failed.outcome(None), Outcome::None);
    }

    #[test]
    fn p9_records_survive_a_restart_and_damage_means_measuring_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_owned();
        let paths = Paths {
            mode: croft_domain::evidence::Mode::User,
            run: state.join("run"),
            config: state.join("node.toml"),
            state,
        };
        let mut measured = Measured::default();
        for variant in 0..=u8::MAX {
            measured.note(record(variant, RATE));
            measured.note(record(variant, RATE));
        }
        assert_eq!(measured.records.len(), MEASURED_KEPT_MAX);
        assert!(measured.of(&Sha256Digest([1; 32]), &Sha256Digest([u8::MAX; 32])).is_some());
        measured.save(&paths).expect("kept");
        assert_eq!(Measured::load(&paths), measured);
        std::fs::write(paths.state_file(FILE), b"{").expect("written");
        assert_eq!(Measured::load(&paths), Measured::default());
        measured.forget(&Sha256Digest([1; 32]));
        assert!(measured.records.is_empty());
    }
}
