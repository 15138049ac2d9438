//! A node's identity key that lives in a TPM, and what that TPM says about it.
//!
//! The key is wrapped under the storage root and kept as a file that is worth nothing elsewhere. It is loaded once and
//! stays loaded; after a suspend, or when somebody else's program emptied the TPM, it is loaded again.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::client::{Handle, Hierarchy, Signed, Tpm};
use crate::error::TpmError;
use crate::limits::{INTERMEDIATES_INDICES_MAX, INTERMEDIATES_LEN_MAX, PUBLIC_LEN_MAX};
use crate::proof::pcr_digest;
use crate::public::{POINT_LEN, Public};
use crate::template;
use crate::wire::{Reader, Writer};

/// NV index of the maker's certificate for the RSA 2048 endorsement key (TCG EK Credential Profile, 2.2.1.4).
const CERTIFICATE_RSA: u32 = 0x01C0_0002;
/// The same for the P-256 one.
const CERTIFICATE_P256: u32 = 0x01C0_000A;
/// The first of those in which certificates of authorities lie, one behind the other.
const INTERMEDIATES: u32 = 0x01C0_0100;

/// The endorsement key: what tells a TPM from all others.
#[derive(Clone, Debug)]
pub struct Endorsement {
    /// Its public area.
    pub public: Vec<u8>,
    /// Its maker's certificate, DER; empty if the TPM has none.
    pub certificate: Vec<u8>,
    /// Certificates between that and the maker's root, DER, one behind the other; empty if the TPM has none.
    pub intermediates: Vec<u8>,
}

/// What a TPM quoted.
#[derive(Clone, Debug)]
pub struct Quoted {
    /// The statement.
    pub signed: Signed,
    /// The values, in the order that was asked.
    pub values: Vec<[u8; 32]>,
}

#[derive(Debug)]
struct Loaded {
    tpm: Tpm,
    key: Handle,
}

/// An identity key in a TPM. Cheap to clone; all clones share one connection.
#[derive(Clone)]
pub struct TpmKey {
    path: PathBuf,
    public: Vec<u8>,
    private: Vec<u8>,
    point: [u8; POINT_LEN],
    loaded: Arc<Mutex<Option<Loaded>>>,
    /// The attestation key that was asked for last: it is the same as long as the TPM is.
    attesting: Arc<Mutex<Option<AttestationOf>>>,
}

/// A fleet's salt, and the public area of the attestation key for it.
type AttestationOf = ([u8; 32], Vec<u8>);

impl std::fmt::Debug for TpmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TpmKey").field("path", &self.path).finish_non_exhaustive()
    }
}

impl TpmKey {
    /// Has the TPM at `path` make a new key.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn create(path: &Path) -> Result<Self, TpmError> {
        let mut tpm = Tpm::open(path)?;
        let root = tpm.create_primary(Hierarchy::Owner, &template::storage_root())?;
        let (public, private, key) = tpm.using(root.handle, |tpm, root| {
            let (public, private) = tpm.create(root, &template::identity())?;
            let key = tpm.load(root, &public, &private)?;
            Ok((public, private, key))
        })?;
        Self::new(path, public, private, Some(Loaded { tpm, key }))
    }

    /// The key that `blob` wraps, from [`TpmKey::blob`]. The TPM is asked when the key is first used.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] if it is none.
    pub fn from_blob(path: &Path, blob: &[u8]) -> Result<Self, TpmError> {
        let mut reader = Reader::new(blob);
        let parts = reader.sized(PUBLIC_LEN_MAX).and_then(|public| {
            let private = reader.sized(PUBLIC_LEN_MAX)?;
            reader.end().map(|()| (public.to_vec(), private.to_vec()))
        });
        let detail = "the wrapped key in the node's state is cut or too long";
        let (public, private) = parts.map_err(|_| TpmError::Malformed { command: "TPM2_Load", detail })?;
        Self::new(path, public, private, None)
    }

    fn new(path: &Path, public: Vec<u8>, private: Vec<u8>, loaded: Option<Loaded>) -> Result<Self, TpmError> {
        let parsed = Public::parse("the identity key", &public).ok();
        let point = parsed.as_ref().and_then(Public::point).copied();
        let detail = "the identity key is not on P-256";
        let point = point.ok_or(TpmError::Malformed { command: "TPM2_Create", detail })?;
        let (loaded, attesting) = (Arc::new(Mutex::new(loaded)), Arc::default());
        Ok(Self { path: path.to_owned(), public, private, point, loaded, attesting })
    }

    /// The wrapped key, to be kept. Nobody but this TPM can use it.
    #[must_use]
    pub fn blob(&self) -> Vec<u8> {
        Writer::new().sized(&self.public).sized(&self.private).finish()
    }

    /// The key's public area.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The public key as an uncompressed point (SEC 1).
    #[must_use]
    pub const fn point(&self) -> [u8; POINT_LEN] {
        self.point
    }

    /// Signs `message`: ECDSA with SHA-256, ASN.1 DER.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, message).as_ref());
        self.with(|loaded| loaded.tpm.sign(loaded.key, &hash)).map(|fixed| der(&fixed))
    }

    /// The endorsement key with its certificate: the RSA one if the maker certified that, else the P-256 one.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn endorsement(&self) -> Result<Endorsement, TpmError> {
        self.with(|loaded| {
            let (template, certificate) = endorsement(&mut loaded.tpm)?;
            let key = loaded.tpm.create_primary(Hierarchy::Endorsement, &template)?;
            loaded.tpm.flush(key.handle)?;
            let intermediates = intermediates(&mut loaded.tpm)?;
            Ok(Endorsement { public: key.public, certificate, intermediates })
        })
    }

    /// The public area of the attestation key for `fleet`.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn attestation(&self, fleet: &[u8; 32]) -> Result<Vec<u8>, TpmError> {
        let mut known = self.attesting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, public)) = known.as_ref().filter(|(salt, _)| salt == fleet) {
            return Ok(public.clone());
        }
        let public = self.with(|loaded| {
            let key = attestation(&mut loaded.tpm, fleet)?;
            loaded.tpm.flush(key.handle)?;
            Ok(key.public)
        })?;
        *known = Some((*fleet, public.clone()));
        Ok(public)
    }

    /// The attestation key for `fleet` as an uncompressed point (SEC 1).
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn attestation_point(&self, fleet: &[u8; 32]) -> Result<[u8; POINT_LEN], TpmError> {
        let public = self.attestation(fleet)?;
        let parsed = Public::parse("the attestation key", &public).ok();
        let detail = "the attestation key is not on P-256";
        let malformed = TpmError::Malformed { command: "TPM2_CreatePrimary", detail };
        parsed.as_ref().and_then(Public::point).copied().ok_or(malformed)
    }

    /// Opens a credential that was made for this TPM's endorsement key and its attestation key for `fleet`.
    ///
    /// # Errors
    /// [`TpmError::Refused`] if it was made for another one.
    pub fn activate(&self, fleet: &[u8; 32], credential: &[u8], secret: &[u8]) -> Result<Vec<u8>, TpmError> {
        self.with(|loaded| {
            let (template, _) = endorsement(&mut loaded.tpm)?;
            let tpm = &mut loaded.tpm;
            let attesting = attestation(tpm, fleet)?;
            tpm.using(attesting.handle, |tpm, attesting| {
                let endorsing = tpm.create_primary(Hierarchy::Endorsement, &template)?;
                tpm.using(endorsing.handle, |tpm, endorsing| {
                    tpm.activate_credential(attesting, endorsing, credential, secret)
                })
            })
        })
    }

    /// Has the attestation key for `fleet` certify this key.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn certify(&self, fleet: &[u8; 32], qualifying: &[u8]) -> Result<Signed, TpmError> {
        self.with(|loaded| {
            let key = loaded.key;
            let attesting = attestation(&mut loaded.tpm, fleet)?;
            loaded.tpm.using(attesting.handle, |tpm, attesting| tpm.certify(key, attesting, qualifying))
        })
    }

    /// Has the attestation key for `fleet` quote the PCRs `selected`, which are ascending.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn quote(&self, fleet: &[u8; 32], qualifying: &[u8], selected: &[u8]) -> Result<Quoted, TpmError> {
        self.with(|loaded| {
            let attesting = attestation(&mut loaded.tpm, fleet)?;
            loaded.tpm.using(attesting.handle, |tpm, attesting| {
                // Something may be measured between the two; it does not happen often, and not for ever.
                for _ in 0..4 {
                    let values = tpm.read_pcrs(selected)?;
                    let signed = tpm.quote(attesting, qualifying, selected)?;
                    if signed.statement.ends_with(&pcr_digest(&values)) {
                        return Ok(Quoted { signed, values });
                    }
                }
                let detail = "its PCRs do not stand still";
                Err(TpmError::Malformed { command: "TPM2_Quote", detail })
            })
        })
    }

    /// Uses the loaded key; loads it where it is not, and once more where it was lost.
    fn with<T>(&self, used: impl Fn(&mut Loaded) -> Result<T, TpmError>) -> Result<T, TpmError> {
        let mut slot = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(loaded) = slot.as_mut() {
            match used(loaded) {
                Err(error) if error.is_passing() => {}
                done => return done,
            }
        }
        // The old connection goes first: a software TPM has room for one.
        *slot = None;
        let mut loaded = self.load()?;
        let done = used(&mut loaded);
        if !done.as_ref().is_err_and(TpmError::is_passing) {
            *slot = Some(loaded);
        }
        done
    }

    fn load(&self) -> Result<Loaded, TpmError> {
        let mut tpm = Tpm::open(&self.path)?;
        let root = tpm.create_primary(Hierarchy::Owner, &template::storage_root())?;
        let key = tpm.using(root.handle, |tpm, root| tpm.load(root, &self.public, &self.private))?;
        Ok(Loaded { tpm, key })
    }
}

fn attestation(tpm: &mut Tpm, fleet: &[u8; 32]) -> Result<crate::client::Primary, TpmError> {
    tpm.create_primary(Hierarchy::Endorsement, &template::attestation(fleet))
}

/// Template of the endorsement key that is used, and its certificate.
fn endorsement(tpm: &mut Tpm) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
    if let Some(certificate) = tpm.read_nv(CERTIFICATE_RSA)? {
        return Ok((template::endorsement_rsa(), certificate));
    }
    let certificate = tpm.read_nv(CERTIFICATE_P256)?.unwrap_or_default();
    Ok((template::endorsement_p256(), certificate))
}

/// What the maker laid into the TPM about its authorities. More than a verifier reads is left there.
fn intermediates(tpm: &mut Tpm) -> Result<Vec<u8>, TpmError> {
    let mut all = Vec::new();
    for index in INTERMEDIATES..INTERMEDIATES + INTERMEDIATES_INDICES_MAX {
        match tpm.read_nv(index)? {
            Some(part) if all.len() + part.len() <= INTERMEDIATES_LEN_MAX => all.extend(part),
            Some(_) | None => break,
        }
    }
    Ok(all)
}

/// `r ‖ s` as `Ecdsa-Sig-Value` (RFC 3279, 2.2.3) in DER.
fn der(fixed: &[u8; 64]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len() - 1);
        let sign: &[u8] = if bytes[start] & 0x80 == 0 { &[] } else { &[0] };
        let body = [sign, &bytes[start..]].concat();
        [&[0x02, u8::try_from(body.len()).unwrap_or(u8::MAX)], body.as_slice()].concat()
    };
    let body = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    [&[0x30, u8::try_from(body.len()).unwrap_or(u8::MAX)], body.as_slice()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_in_signatures_are_written_as_der_wants_them() {
        let mut fixed = [0; 64];
        fixed[31] = 0x7F;
        fixed[32] = 0x80;
        let written = der(&fixed);
        assert_eq!(written[..6], [0x30, 38, 0x02, 1, 0x7F, 0x02]);
        assert_eq!(written[6..9], [33, 0, 0x80]);
        assert_eq!(der(&[0; 64]), [0x30, 6, 0x02, 1, 0, 0x02, 1, 0]);
    }
}
