//! The few commands that Croft gives to a TPM (TCG TPM 2.0 Library, Part 3), one function each. Nothing here writes into
//! it: keys are made in its memory, used, and flushed.

use std::path::Path;

use crate::attest;
use crate::command::{Answer, Command, PASSWORD, decode, encode};
use crate::error::TpmError;
use crate::limits::{
    ATTEST_LEN_MAX, BUSY_TRIES, CERTIFICATE_LEN_MAX, NV_PART_LEN, PUBLIC_LEN_MAX, SIGNATURE_LEN_MAX,
};
use crate::public::algorithm;
use crate::transport::{self, Transport};
use crate::wire::{Reader, Short, Writer};

/// A permanent handle (Part 2, 7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The storage hierarchy: its keys end when the TPM is cleared.
    Owner,
    /// The endorsement hierarchy: its seed is the maker's, and survives clearing.
    Endorsement,
}

impl Hierarchy {
    const fn handle(self) -> u32 {
        match self {
            Self::Owner => 0x4000_0001,
            Self::Endorsement => ENDORSEMENT,
        }
    }
}

pub(crate) const ENDORSEMENT: u32 = 0x4000_000B;
pub(crate) const NULL: u32 = 0x4000_0007;

/// An object in the TPM's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle(pub(crate) u32);

/// A key that was made or loaded as a primary.
#[derive(Clone, Debug)]
pub struct Primary {
    /// Where it is until it is flushed.
    pub handle: Handle,
    /// Its public area.
    pub public: Vec<u8>,
}

/// A statement with its signature, both exactly as the TPM gave them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// `TPMS_ATTEST`.
    pub statement: Vec<u8>,
    /// `TPMT_SIGNATURE`.
    pub signature: Vec<u8>,
}

/// A connection to a TPM.
pub struct Tpm {
    transport: Box<dyn Transport>,
}

impl std::fmt::Debug for Tpm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tpm(…)")
    }
}

impl Tpm {
    /// Connects to the TPM at `path`.
    ///
    /// # Errors
    /// [`TpmError::Open`].
    pub fn open(path: &Path) -> Result<Self, TpmError> {
        let opened = transport::open(path)?;
        let mut tpm = Self { transport: opened.transport };
        if !opened.is_managed {
            tpm.flush_leftovers()?;
        }
        Ok(tpm)
    }

    /// Over another way of carrying bytes.
    #[must_use]
    pub fn over(transport: Box<dyn Transport>) -> Self {
        Self { transport }
    }

    /// Makes a primary key. The same template gives the same key as long as the hierarchy's seed stays.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn create_primary(&mut self, hierarchy: Hierarchy, template: &[u8]) -> Result<Primary, TpmError> {
        let answer = self.run(&Command {
            name: "TPM2_CreatePrimary",
            code: 0x131,
            handles: &[hierarchy.handle()],
            sessions: &[PASSWORD],
            gives_handle: true,
            parameters: creation(template),
        })?;
        let public = answer.read(|reader| reader.sized(PUBLIC_LEN_MAX).map(<[u8]>::to_vec))?;
        Ok(Primary { handle: Handle(answer.handle), public })
    }

    /// Makes a key below `parent`; answers its public area and its private part, wrapped for this TPM.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn create(&mut self, parent: Handle, template: &[u8]) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let answer = self.run(&Command {
            name: "TPM2_Create",
            code: 0x153,
            handles: &[parent.0],
            sessions: &[PASSWORD],
            gives_handle: false,
            parameters: creation(template),
        })?;
        answer.read(|reader| {
            let private = reader.sized(PUBLIC_LEN_MAX)?.to_vec();
            Ok((reader.sized(PUBLIC_LEN_MAX)?.to_vec(), private))
        })
    }

    /// Loads a key that [`Tpm::create`] made.
    ///
    /// # Errors
    /// [`TpmError::OtherTpm`] if it was made by another TPM or before this one was cleared.
    pub fn load(&mut self, parent: Handle, public: &[u8], private: &[u8]) -> Result<Handle, TpmError> {
        let answer = self.run(&Command {
            name: "TPM2_Load",
            code: 0x157,
            handles: &[parent.0],
            sessions: &[PASSWORD],
            gives_handle: true,
            parameters: Writer::new().sized(private).sized(public).finish(),
        });
        match answer {
            Ok(answer) => Ok(Handle(answer.handle)),
            // TPM_RC_INTEGRITY, of whichever parameter.
            Err(TpmError::Refused { code, .. }) if code & 0xBF == 0x9F => Err(TpmError::OtherTpm),
            Err(error) => Err(error),
        }
    }

    /// Signs a SHA-256 digest with a key that signs anything; answers `r ‖ s`.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn sign(&mut self, key: Handle, digest: &[u8; 32]) -> Result<[u8; 64], TpmError> {
        let no_ticket = |writer: Writer| writer.u16(0x8024).u32(NULL).sized(&[]);
        let answer = self.run(&Command {
            name: "TPM2_Sign",
            code: 0x15D,
            handles: &[key.0],
            sessions: &[PASSWORD],
            gives_handle: false,
            parameters: no_ticket(Writer::new().sized(digest).u16(algorithm::NULL)).finish(),
        })?;
        answer.read(attest::read_signature)
    }

    /// Has `signer` say that `key` is in this TPM.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn certify(&mut self, key: Handle, signer: Handle, qualifying: &[u8]) -> Result<Signed, TpmError> {
        let answer = self.run(&Command {
            name: "TPM2_Certify",
            code: 0x148,
            handles: &[key.0, signer.0],
            sessions: &[PASSWORD, PASSWORD],
            gives_handle: false,
            parameters: Writer::new().sized(qualifying).u16(algorithm::NULL).finish(),
        })?;
        signed(&answer)
    }

    /// Has `signer` say what the PCRs `selected` are, of the SHA-256 bank.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn quote(&mut self, signer: Handle, qualifying: &[u8], selected: &[u8]) -> Result<Signed, TpmError> {
        let parameters = Writer::new().sized(qualifying).u16(algorithm::NULL).bytes(&selection(selected));
        let answer = self.run(&Command {
            name: "TPM2_Quote",
            code: 0x158,
            handles: &[signer.0],
            sessions: &[PASSWORD],
            gives_handle: false,
            parameters: parameters.finish(),
        })?;
        signed(&answer)
    }

    /// The values of PCRs of the SHA-256 bank, in the order of `selected`, which is ascending.
    ///
    /// # Errors
    /// [`TpmError::Malformed`] also if the TPM has no SHA-256 bank.
    pub fn read_pcrs(&mut self, selected: &[u8]) -> Result<Vec<[u8; 32]>, TpmError> {
        let mut values = Vec::new();
        // One answer holds at most eight.
        for part in selected.chunks(8) {
            let answer = self.run(&Command {
                name: "TPM2_PCR_Read",
                code: 0x17E,
                handles: &[],
                sessions: &[],
                gives_handle: false,
                parameters: selection(part),
            })?;
            let given = answer.read(|reader| {
                reader.u32()?;
                let given = attest::selection(reader)?;
                let count = usize::try_from(reader.u32()?).map_err(|_| Short)?;
                if given != part || count != part.len() {
                    return Err(Short);
                }
                let mut value = || <[u8; 32]>::try_from(reader.sized(32)?).map_err(|_| Short);
                (0..count).map(|_| value()).collect::<Result<Vec<_>, _>>()
            })?;
            values.extend(given);
        }
        Ok(values)
    }

    /// What is in the NV index `index`, which may be read by whoever knows its empty password; none if there is no such
    /// index.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn read_nv(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        let public = self.run(&Command {
            name: "TPM2_NV_ReadPublic",
            code: 0x169,
            handles: &[index],
            sessions: &[],
            gives_handle: false,
            parameters: Vec::new(),
        });
        let len = match public {
            Err(TpmError::Refused { code, .. }) if code & 0xBF == 0x8B => return Ok(None),
            other => other?.read(|reader| {
                let mut area = Reader::new(reader.sized(PUBLIC_LEN_MAX)?);
                area.take(4 + 2 + 4)?;
                area.sized(64)?;
                area.u16()
            })?,
        };
        if usize::from(len) > CERTIFICATE_LEN_MAX {
            return Err(TpmError::Malformed {
                command: "TPM2_NV_ReadPublic",
                detail: "the index is too long",
            });
        }
        let mut content = Vec::new();
        let mut offset = 0;
        while offset < len {
            let part = NV_PART_LEN.min(len - offset);
            let answer = self.run(&Command {
                name: "TPM2_NV_Read",
                code: 0x14E,
                handles: &[index, index],
                sessions: &[PASSWORD],
                gives_handle: false,
                parameters: Writer::new().u16(part).u16(offset).finish(),
            })?;
            content.extend(answer.read(|reader| {
                let bytes = reader.sized(usize::from(part))?;
                if bytes.len() == usize::from(part) { Ok(bytes.to_vec()) } else { Err(Short) }
            })?);
            offset += part;
        }
        Ok(Some(content))
    }

    /// Takes an object or session out of the TPM's memory.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn flush(&mut self, handle: Handle) -> Result<(), TpmError> {
        self.run(&Command {
            name: "TPM2_FlushContext",
            code: 0x165,
            handles: &[],
            sessions: &[],
            gives_handle: false,
            parameters: Writer::new().u32(handle.0).finish(),
        })
        .map(drop)
    }

    /// Uses an object and flushes it, whatever came of it.
    ///
    /// # Errors
    /// What `used` answered, or else [`TpmError`].
    pub fn using<T>(
        &mut self,
        handle: Handle,
        used: impl FnOnce(&mut Self, Handle) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let result = used(self, handle);
        let flushed = self.flush(handle);
        result.and_then(|value| flushed.map(|()| value))
    }

    // Where no resource manager stands between, there is one client at a time, and what one that was killed had loaded
    // stays in one of the three slots.
    fn flush_leftovers(&mut self) -> Result<(), TpmError> {
        for kind in [0x8000_0000, 0x0200_0000] {
            let answer = self.run(&Command {
                name: "TPM2_GetCapability",
                code: 0x17A,
                handles: &[],
                sessions: &[],
                gives_handle: false,
                parameters: Writer::new().u32(1).u32(kind).u32(16).finish(),
            })?;
            let left = answer.read(|reader| {
                reader.take(1 + 4)?;
                let count = reader.u32()?.min(16);
                (0..count).map(|_| reader.u32()).collect::<Result<Vec<_>, _>>()
            })?;
            left.into_iter().try_for_each(|handle| self.flush(Handle(handle)))?;
        }
        Ok(())
    }

    pub(crate) fn run(&mut self, command: &Command<'_>) -> Result<Answer, TpmError> {
        let bytes = encode(command);
        for _ in 0..BUSY_TRIES {
            let answer = self
                .transport
                .exchange(&bytes)
                .map_err(|source| TpmError::Gone { command: command.name, source })?;
            match decode(command, &answer) {
                // TPM_RC_YIELDED, TPM_RC_TESTING, TPM_RC_RETRY: it asks to be asked again.
                Err(TpmError::Refused { code: 0x908 | 0x90A | 0x922, .. }) => {
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
                decoded => return decoded,
            }
        }
        Err(TpmError::Refused { command: command.name, code: 0x922 })
    }
}

/// No password, no data, nothing recorded about the PCRs at creation.
fn creation(template: &[u8]) -> Vec<u8> {
    let sensitive = Writer::new().sized(&[]).sized(&[]).finish();
    Writer::new().sized(&sensitive).sized(template).sized(&[]).u32(0).finish()
}

fn selection(selected: &[u8]) -> Vec<u8> {
    let mut bits = [0_u8; 3];
    for pcr in selected {
        if let Some(byte) = bits.get_mut(usize::from(pcr / 8)) {
            *byte |= 1 << (pcr % 8);
        }
    }
    Writer::new().u32(1).u16(algorithm::SHA256).u8(3).bytes(&bits).finish()
}

fn signed(answer: &Answer) -> Result<Signed, TpmError> {
    answer.read(|reader| {
        let statement = reader.sized(ATTEST_LEN_MAX)?.to_vec();
        let signature = reader.rest();
        if signature.len() > SIGNATURE_LEN_MAX {
            return Err(Short);
        }
        Ok(Signed { statement, signature: signature.to_vec() })
    })
}
