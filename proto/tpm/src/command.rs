//! Commands and answers as bytes (TCG TPM 2.0 Library, Part 1, 18): a head, handles, sessions, parameters.

use crate::error::TpmError;
use crate::limits::MESSAGE_LEN_MAX;
use crate::wire::{Reader, Short, Writer};

/// `TPM_RS_PW`: the session that is a password, ours always empty.
pub(crate) const PASSWORD: u32 = 0x4000_0009;

pub(crate) struct Command<'a> {
    pub(crate) name: &'static str,
    pub(crate) code: u32,
    pub(crate) handles: &'a [u32],
    /// One session a handle that needs one, from the first.
    pub(crate) sessions: &'a [u32],
    /// Whether the answer begins with a handle.
    pub(crate) gives_handle: bool,
    pub(crate) parameters: Vec<u8>,
}

pub(crate) struct Answer {
    pub(crate) name: &'static str,
    pub(crate) handle: u32,
    pub(crate) parameters: Vec<u8>,
}

impl Answer {
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T, Short>,
    ) -> Result<T, TpmError> {
        let cut = |Short| TpmError::Malformed { command: self.name, detail: "it is cut or too long" };
        read(&mut Reader::new(&self.parameters)).map_err(cut)
    }
}

pub(crate) fn encode(command: &Command<'_>) -> Vec<u8> {
    let mut body = command.handles.iter().fold(Writer::new(), |writer, handle| writer.u32(*handle));
    if !command.sessions.is_empty() {
        let area = command.sessions.iter().fold(Writer::new(), |writer, session| {
            // No nonce, the session ends with the command if it is one of ours, and an empty password.
            writer.u32(*session).sized(&[]).u8(0).sized(&[])
        });
        let area = area.finish();
        body = body.u32(u32::try_from(area.len()).unwrap_or(u32::MAX)).bytes(&area);
    }
    let body = body.bytes(&command.parameters).finish();
    let tag = if command.sessions.is_empty() { 0x8001 } else { 0x8002 };
    let len = u32::try_from(body.len() + 10).unwrap_or(u32::MAX);
    Writer::new().u16(tag).u32(len).u32(command.code).bytes(&body).finish()
}

pub(crate) fn decode(command: &Command<'_>, bytes: &[u8]) -> Result<Answer, TpmError> {
    let malformed = |detail| TpmError::Malformed { command: command.name, detail };
    if bytes.len() > MESSAGE_LEN_MAX {
        return Err(malformed("it is too long"));
    }
    let mut reader = Reader::new(bytes);
    let cut = |Short| malformed("it is cut");
    let tag = reader.u16().map_err(cut)?;
    let len = reader.u32().map_err(cut)?;
    let code = reader.u32().map_err(cut)?;
    if usize::try_from(len) != Ok(bytes.len()) {
        return Err(malformed("its length is not what it says"));
    }
    if code != 0 {
        return Err(TpmError::Refused { command: command.name, code });
    }
    let expected = if command.sessions.is_empty() { 0x8001 } else { 0x8002 };
    if tag != expected {
        return Err(malformed("its tag is another command's"));
    }
    let handle = if command.gives_handle { reader.u32().map_err(cut)? } else { 0 };
    let parameters = if command.sessions.is_empty() {
        reader.rest()
    } else {
        let len = reader.u32().map_err(cut)?;
        reader.take(usize::try_from(len).unwrap_or(usize::MAX)).map_err(cut)?
    };
    Ok(Answer { name: command.name, handle, parameters: parameters.to_vec() })
}
