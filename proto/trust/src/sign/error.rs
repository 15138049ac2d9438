//! Why a key cannot be used, each with what to do about it.

use std::path::PathBuf;

use croft_domain::code::Code;

use crate::disk::DiskError;

/// A key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No random numbers.
    #[error("cannot generate a key: the system's random source does not answer")]
    Generate,
    /// Not a P-256 key.
    #[error("not a PKCS#8 P-256 key")]
    Malformed,
    /// The file is not one.
    #[error("{} is not a PKCS#8 P-256 key", path.display())]
    MalformedFile {
        /// Which file.
        path: PathBuf,
    },
    /// A key of another kind or curve.
    #[error("a key of another kind: expected P-256, found {found}")]
    Curve {
        /// Object identifier of its curve, or of its algorithm if that is not elliptic.
        found: String,
    },
    /// It needs a passphrase and none was given.
    #[error("key file {} is encrypted and no passphrase was given", path.display())]
    PassphraseMissing {
        /// Which file.
        path: PathBuf,
    },
    /// The passphrase does not open it.
    #[error("the passphrase does not open key file {}", path.display())]
    PassphraseWrong {
        /// Which file.
        path: PathBuf,
    },
    /// A passphrase cannot be had, or is not one.
    #[error("passphrase: {0}")]
    Passphrase(String),
    /// Others may read the file that a passphrase was to come from.
    #[error("passphrase file {} may be read by others (mode {mode:04o})", path.display())]
    PassphraseExposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Encrypted in a way that this program does not read.
    #[error("key file {} is encrypted with {method}", path.display())]
    Encryption {
        /// Which file.
        path: PathBuf,
        /// How.
        method: String,
    },
    /// Others may read it.
    #[error("key file {} may be read by others (mode {mode:04o}); make it 0600 and consider it known", path.display())]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Cannot be read.
    #[error("cannot read key file {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Cannot be written.
    #[error("cannot save the key")]
    Save(#[source] DiskError),
    /// What holds the key did not sign.
    #[error("{holder} did not sign")]
    Held {
        /// What holds it.
        holder: String,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl KeyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        Code::Key
    }

    /// What to do next.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Generate => "the system's random source must answer first",
            Self::Malformed | Self::MalformedFile { .. } => {
                "restore the file from its backup; openssl pkey -in FILE -noout says whether it is whole"
            }
            Self::Curve { .. } => {
                "make one with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"
            }
            Self::PassphraseMissing { .. } => {
                "run it in a terminal, or give --passphrase-file FILE or CROFTCTL_PASSPHRASE"
            }
            Self::PassphraseWrong { .. } => {
                "try again: there is no way in without it but the key's backup; capital letters and keyboard layout count"
            }
            Self::Passphrase(_) => "1 to 1024 bytes in one line, readable by you alone (0600)",
            Self::PassphraseExposed { .. } => {
                "chmod 600 FILE, and think about another passphrase: croftctl trust change-passphrase KEY"
            }
            Self::Encryption { .. } => "convert it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW",
            Self::Exposed { .. } => {
                "chmod 600 FILE, and think about replacing the key: croftctl trust rotate-root"
            }
            Self::Read { .. } => "check the path; a key that was moved offline must be brought back to sign",
            Self::Save(_) => "check the folder's permissions and free space",
            Self::Held { .. } => "check that the token or service that holds the key is there and unlocked",
        }
    }
}
