//! A lease that was carried here, as `croft import` meets it beside archives: told by its content.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;

use croft_proto::grpc::ImportLeaseRequest;

use crate::failure::Failure;
use crate::limits::LEASE_FILE_LEN_MAX;
use crate::moment::describe;
use crate::paths::Paths;
use crate::{clock, daemon, output};

/// The content of a file that begins as a JSON document does and is no longer than a lease: archives never do.
pub fn peek(path: &Path) -> Option<Vec<u8>> {
    let mut file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|meta| meta.is_file()))?;
    let mut first = [0];
    file.read_exact(&mut first).ok().filter(|()| first == *b"{")?;
    file.rewind().ok()?;
    let mut content = Vec::new();
    file.take(LEASE_FILE_LEN_MAX + 1).read_to_end(&mut content).ok()?;
    (content.len() as u64 <= LEASE_FILE_LEN_MAX).then_some(content)
}

/// Hands a lease to the daemon, which believes nothing of it but its signature.
///
/// # Errors
/// What the daemon refuses.
pub async fn take(paths: &Paths, content: Vec<u8>) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let answer = daemon.import_lease(daemon::ask(ImportLeaseRequest { content })).await;
    let until = answer.map_err(|status| daemon::refused(&status))?.into_inner().until;
    output::say(&format!("This machine may serve; the lease ends {}.", describe(until, clock::now())));
    Ok(())
}
