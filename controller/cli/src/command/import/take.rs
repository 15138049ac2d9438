//! One model out of its files: judged in a confined process, then hashed. Variants of a bundle come in one after another.

use std::path::{Path, PathBuf};

use croft_domain::bundle::{BundleFile, FileRole, Header};
use croft_domain::vetting::VettingExceptions;
use croft_trust::digest::describe_file;
use croft_vetting::report::Report;

use crate::error::CtlError;
use crate::limits::{HUGE_FILE_LEN, SMALL_FILE_LEN};
use crate::output::{length, say};
use crate::source::Piece;
use crate::{progress, vet};

/// What came of one model's files.
pub struct Taken {
    /// What the linter found out.
    pub report: Report,
    /// The exact bytes of its report.
    pub vetting: Vec<u8>,
    /// The files as a manifest describes them.
    pub files: Vec<BundleFile>,
    /// Where they lie.
    pub sources: Vec<PathBuf>,
}

impl Taken {
    /// What the header says, for the manifest.
    pub fn header(&self) -> Header {
        Header {
            parameters: self.report.parameter_count,
            quantization: self.report.quantization.clone().unwrap_or_default(),
            context_length: self.report.context_length.unwrap_or(0),
            shape: self.report.shape,
        }
    }

    /// How it is quantized, as people write it.
    pub fn quantization(&self) -> String {
        self.report.quantization.as_deref().unwrap_or("unknown").to_ascii_lowercase()
    }

    /// Measures the files of a model that passed, which is called `from`.
    ///
    /// # Errors
    /// A file cannot be read, or is not what its store says.
    pub fn of(vetted: Vetted, pieces: Vec<Piece>) -> Result<Self, CtlError> {
        let Vetted { passed: vet::Passed { report, bytes: vetting }, lens } = vetted;
        let (mut files, mut sources) = (Vec::new(), Vec::new());
        for (piece, len_bytes) in pieces.into_iter().zip(lens) {
            sources.push(piece.path.clone());
            files.push(describe(piece, len_bytes)?);
        }
        Ok(Self { report, vetting, files, sources })
    }

    /// Whether it is the model of `other` in other numbers: same architecture, sizes and vocabulary.
    pub fn is_sibling_of(&self, other: &Self) -> bool {
        let traits = |taken: &Self| {
            let sizes = taken.report.shape.map(|s| (s.kv_numbers, s.width, s.width_inner, s.vocabulary));
            (taken.report.architecture.clone(), taken.report.context_length, sizes)
        };
        traits(self) == traits(other)
    }
}

/// A model that passed.
pub struct Vetted {
    /// The linter's answer.
    pub passed: vet::Passed,
    /// The length of each of its files, in bytes, as they were judged.
    lens: Vec<u64>,
}

/// Judges the model called `from` in a confined process; its shards together or not at all.
///
/// # Errors
/// A file cannot be read, or the linter refuses one.
pub async fn vet_all(
    from: &Path,
    pieces: &[Piece],
    exceptions: &VettingExceptions,
) -> Result<Vetted, CtlError> {
    let mut lens = Vec::new();
    for piece in pieces {
        let metadata = piece.file.metadata();
        let fail = |source| CtlError::FileRead { path: piece.path.clone(), source };
        lens.push(metadata.map_err(fail)?.len());
    }
    let spinner = progress::spinner("vetting in a confined process");
    let passed = match pieces {
        [] => Err(CtlError::NotFound { what: "file of weights".to_owned(), hint: String::new() }),
        // The one file that was named is called as it was named.
        [one] if one.digest.is_none() => vet::vet(from, &one.file, exceptions).await,
        [one] => vet::vet(&one.path, &one.file, exceptions).await,
        several => {
            let names =
                several.iter().enumerate().map(|(index, piece)| shard_name(piece, index, several.len()));
            let shards: Vec<_> = names.zip(several.iter().map(|piece| &piece.file)).collect();
            vet::vet_shards(from, &shards, exceptions).await
        }
    };
    spinner.finish_and_clear();
    let passed = passed?;
    for finding in &passed.report.findings {
        say(&format!("note:{}", vet::finding_text(finding)));
    }
    Ok(Vetted { passed, lens })
}

/// What a shard is called. A store that names by digest says the order only.
fn shard_name(piece: &Piece, index: usize, count: usize) -> String {
    match (piece.path.file_name().and_then(|name| name.to_str()), piece.digest) {
        (Some(name), None) => name.to_owned(),
        _ => format!("model-{:05}-of-{count:05}.gguf", index + 1),
    }
}

/// Chunks small enough that a resumed fetch loses little, and few enough for the manifest's bound.
const fn chunk_len(len_bytes: u64) -> u64 {
    if len_bytes < SMALL_FILE_LEN {
        1 << 20
    } else if len_bytes <= HUGE_FILE_LEN {
        4 << 20
    } else {
        16 << 20
    }
}

/// Measures a file, and holds it to what its store says it is.
fn describe(piece: Piece, len_bytes: u64) -> Result<BundleFile, CtlError> {
    let Piece { path, mut file, digest } = piece;
    let spinner = progress::spinner(&format!("hashing {}", length(len_bytes)));
    let chunk_len_bytes = chunk_len(len_bytes);
    let described = describe_file(&mut file, chunk_len_bytes);
    spinner.finish_and_clear();
    let fail = |source| CtlError::FileRead { path: path.clone(), source };
    let (sha256, len, chunks) = described.map_err(fail)?;
    if len != len_bytes {
        return Err(fail(std::io::Error::other("the file changed while it was read")));
    }
    match digest {
        Some(expected) if expected != sha256 => Err(CtlError::WrongDigest { path, expected, found: sha256 }),
        _ => Ok(BundleFile { role: FileRole::Weights, sha256, len_bytes, chunk_len_bytes, chunks }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_grow_with_the_file() {
        assert_eq!(chunk_len(1), 1 << 20);
        assert_eq!(chunk_len(SMALL_FILE_LEN - 1), 1 << 20);
        assert_eq!(chunk_len(SMALL_FILE_LEN), 4 << 20);
        assert_eq!(chunk_len(HUGE_FILE_LEN), 4 << 20);
        assert_eq!(chunk_len(HUGE_FILE_LEN + 1), 16 << 20);
    }
}
