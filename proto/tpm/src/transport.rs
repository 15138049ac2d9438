//! How bytes get to a TPM: the kernel's device with its resource manager, or the socket of a software TPM.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::error::TpmError;
use crate::limits::{ANSWER_TIMEOUT, MESSAGE_LEN_MAX};

/// Carries one command and brings its answer.
pub trait Transport: Send {
    /// Sends `command` and reads what comes back, at most [`MESSAGE_LEN_MAX`] bytes.
    ///
    /// # Errors
    /// When it is not there any more.
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>>;
}

/// The kernel's character device: one write is one command, one read is one answer.
struct Device(File);

impl Transport for Device {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        // In one piece: the kernel takes each write for a whole command.
        let written = uninterrupted(|| self.0.write(command))?;
        if written != command.len() {
            return Err(io::Error::new(io::ErrorKind::WriteZero, "a command was taken in part"));
        }
        let mut answer = vec![0; MESSAGE_LEN_MAX];
        let len = uninterrupted(|| self.0.read(&mut answer))?;
        answer.truncate(len);
        Ok(answer)
    }
}

/// A signal is no answer.
fn uninterrupted(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// What keeps messages apart as the kernel's device does: one write is one command, one read is one answer.
#[must_use]
pub fn device(file: File) -> Box<dyn Transport> {
    Box::new(Device(file))
}

/// A stream, in which the answer's own header says how long it is.
struct Socket(UnixStream);

impl Transport for Socket {
    fn exchange(&mut self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(command)?;
        let mut answer = vec![0; 10];
        self.0.read_exact(&mut answer)?;
        let claimed = u32::from_be_bytes([answer[2], answer[3], answer[4], answer[5]]);
        let len = usize::try_from(claimed).unwrap_or(usize::MAX);
        if !(10..=MESSAGE_LEN_MAX).contains(&len) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an answer of impossible length"));
        }
        answer.resize(len, 0);
        self.0.read_exact(&mut answer[10..])?;
        Ok(answer)
    }
}

/// A way to a TPM.
pub struct Opened {
    /// Carries commands.
    pub transport: Box<dyn Transport>,
    /// Whether the kernel keeps its clients apart and cleans up after them.
    pub is_managed: bool,
}

/// Opens the TPM at `path`: a character device such as `/dev/tpmrm0`, or the socket of a software TPM.
///
/// # Errors
/// [`TpmError::Open`].
pub fn open(path: &Path) -> Result<Opened, TpmError> {
    let failed = |source| TpmError::Open { path: path.to_owned(), source };
    let kind = std::fs::metadata(path).map_err(failed)?.file_type();
    if kind.is_socket() {
        let stream = UnixStream::connect(path).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        return Ok(Opened { transport: Box::new(Socket(stream)), is_managed: false });
    }
    if !kind.is_char_device() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "neither a device nor a socket")));
    }
    let device = File::options().read(true).write(true).open(path).map_err(failed)?;
    Ok(Opened { transport: self::device(device), is_managed: true })
}
