//! TPM2_ActivateCredential and the policy session that an endorsement key asks for.

use crate::client::{ENDORSEMENT, Handle, NULL, Tpm};
use crate::command::{Command, PASSWORD};
use crate::error::TpmError;
use crate::public::algorithm;
use crate::wire::Writer;

impl Tpm {
    /// Opens a credential that was made for the endorsement key `endorsement` and the name of `key`: only a TPM that has
    /// both can.
    ///
    /// # Errors
    /// [`TpmError::Refused`] if it was made for another one.
    pub fn activate_credential(
        &mut self,
        key: Handle,
        endorsement: Handle,
        credential: &[u8],
        secret: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        let session = self.policy_session()?;
        let opened = self.by_endorsement(session).and_then(|()| {
            self.run(&Command {
                name: "TPM2_ActivateCredential",
                code: 0x147,
                handles: &[key.0, endorsement.0],
                sessions: &[PASSWORD, session.0],
                gives_handle: false,
                parameters: Writer::new().sized(credential).sized(secret).finish(),
            })
        });
        if opened.is_err() {
            // A session that was used up is gone by itself; this one was not.
            self.flush(session)?;
        }
        opened?.read(|reader| reader.sized(64).map(<[u8]>::to_vec))
    }

    fn policy_session(&mut self) -> Result<Handle, TpmError> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|_| TpmError::Random)?;
        let parameters = Writer::new().sized(&nonce).sized(&[]).u8(1).u16(algorithm::NULL);
        let answer = self.run(&Command {
            name: "TPM2_StartAuthSession",
            code: 0x176,
            handles: &[NULL, NULL],
            sessions: &[],
            gives_handle: true,
            parameters: parameters.u16(algorithm::SHA256).finish(),
        })?;
        Ok(Handle(answer.handle))
    }

    fn by_endorsement(&mut self, session: Handle) -> Result<(), TpmError> {
        let parameters = Writer::new().sized(&[]).sized(&[]).sized(&[]).u32(0);
        self.run(&Command {
            name: "TPM2_PolicySecret",
            code: 0x151,
            handles: &[ENDORSEMENT, session.0],
            sessions: &[PASSWORD],
            gives_handle: false,
            parameters: parameters.finish(),
        })
        .map(drop)
    }
}
