//! The key that is this node: a file, or something in the machine's TPM that only that TPM can use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::FleetId;
use croft_domain::signed::{Domain, Envelope};
use croft_link::held::HeldKey;
use croft_link::tls::ClientKey;
use croft_link::{LinkError, csr};
use croft_tpm::error::TpmError;
use croft_tpm::key::TpmKey;
use croft_trust::digest::sha256;
use croft_trust::sign::{KeyError, POINT_LEN, Signer, SigningKey, sign_envelope};
use serde::{Deserialize, Serialize};

use super::files::{StateError, read_json, write_json};

const KEY_FILE: &str = "node.pk8";
const TPM_FILE: &str = "node.tpm";

/// A node's key. Cheap to clone.
#[derive(Clone, Debug)]
pub enum NodeKey {
    /// In a file that only the daemon's account reads.
    File(SigningKey),
    /// In the TPM at this device.
    Tpm(PathBuf, TpmKey),
}

/// What is kept of a key that is in a TPM.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    device: PathBuf,
    key: String,
}

/// The stable code of what a TPM did not do.
#[must_use]
pub const fn code_of(error: &TpmError) -> Code {
    match error {
        TpmError::Open { .. } => Code::TpmMissing,
        TpmError::OtherTpm => Code::TpmOther,
        TpmError::Gone { .. } | TpmError::Malformed { .. } | TpmError::Refused { .. } | TpmError::Random => {
            Code::TpmFailed
        }
    }
}

/// What an attestation key is salted with, so that it is another one in each fleet.
#[must_use]
pub fn salt_of(fleet: FleetId) -> [u8; 32] {
    sha256(&[b"croft-attestation-v1\0", fleet.0.as_slice()].concat()).0
}

impl NodeKey {
    /// Reads the key in `folder`. A TPM is not asked yet.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn load(folder: &Path) -> Result<Self, StateError> {
        let path = folder.join(TPM_FILE);
        let Some(Wrapped { device, key }) = read_json::<Wrapped>(&path)? else {
            return Ok(Self::File(SigningKey::load(&folder.join(KEY_FILE))?));
        };
        let blob = hex::decode(key).map_err(|e| StateError::corrupt(&path, e))?;
        let key = TpmKey::from_blob(&device, &blob).map_err(|e| StateError::corrupt(&path, e))?;
        Ok(Self::Tpm(device, key))
    }

    /// Keeps it in `folder`.
    ///
    /// # Errors
    /// [`StateError`].
    pub fn save(&self, folder: &Path) -> Result<(), StateError> {
        match self {
            Self::File(key) => Ok(key.save(&folder.join(KEY_FILE))?),
            Self::Tpm(device, key) => {
                let wrapped = Wrapped { device: device.clone(), key: hex::encode(key.blob()) };
                write_json(&folder.join(TPM_FILE), &wrapped)
            }
        }
    }

    /// The public key as an uncompressed point (SEC 1).
    #[must_use]
    pub fn point(&self) -> [u8; POINT_LEN] {
        match self {
            Self::File(key) => key.point(),
            Self::Tpm(_, key) => key.point(),
        }
    }

    /// SHA-256 of [`Self::point`].
    #[must_use]
    pub fn key_id(&self) -> Sha256Digest {
        sha256(&self.point())
    }

    /// The key in the TPM, if it is there.
    #[must_use]
    pub const fn tpm(&self) -> Option<&TpmKey> {
        match self {
            Self::File(_) => None,
            Self::Tpm(_, key) => Some(key),
        }
    }

    /// Signs `payload` as a document of kind `domain`.
    ///
    /// # Errors
    /// [`StateError::Tpm`] when the TPM does not.
    pub fn sign(&self, domain: Domain, payload: impl Into<Vec<u8>>) -> Result<Envelope, StateError> {
        match self {
            Self::File(key) => Ok(key.sign(domain, payload)),
            Self::Tpm(..) => sign_envelope(self, domain, payload).map_err(of_key),
        }
    }

    /// For connections.
    #[must_use]
    pub fn client_key(&self) -> ClientKey {
        match self {
            Self::File(key) => ClientKey::Pkcs8(key.pkcs8().to_vec()),
            Self::Tpm(..) => ClientKey::Held(Arc::new(self.clone())),
        }
    }

    /// A certificate request for it.
    ///
    /// # Errors
    /// If the TPM does not sign.
    pub fn request(&self) -> Result<Vec<u8>, LinkError> {
        match self {
            Self::File(key) => csr::request(key.pkcs8()),
            Self::Tpm(..) => csr::request_held(self),
        }
    }

    /// Holds that it can be used: that its TPM is there, and is the one that made it. A handshake would only say that it
    /// failed.
    ///
    /// # Errors
    /// [`StateError::Tpm`].
    pub fn check(&self) -> Result<(), StateError> {
        match self {
            Self::File(_) => Ok(()),
            Self::Tpm(_, key) => Ok(key.sign(b"croft: is the key there?").map(drop)?),
        }
    }

    /// In words, for its owner.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::File(_) => "a file".to_owned(),
            Self::Tpm(device, _) => format!("in the TPM ({})", device.display()),
        }
    }
}

impl Signer for NodeKey {
    fn point(&self) -> [u8; POINT_LEN] {
        Self::point(self)
    }

    fn sign_message(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::File(key) => key.sign_message(message),
            Self::Tpm(_, key) => key
                .sign(message)
                .map_err(|e| KeyError::Held { holder: "the TPM".to_owned(), source: Box::new(e) }),
        }
    }
}

impl HeldKey for NodeKey {
    fn point(&self) -> [u8; POINT_LEN] {
        Self::point(self)
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.sign_message(message)?)
    }
}

fn of_key(error: KeyError) -> StateError {
    match error {
        KeyError::Held { source, holder } => match source.downcast::<TpmError>() {
            Ok(tpm) => StateError::Tpm(*tpm),
            Err(source) => StateError::Key(KeyError::Held { holder, source }),
        },
        other => StateError::Key(other),
    }
}
