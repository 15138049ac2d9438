//! Where offered metadata comes from. A source is never believed: not in what it gives, nor in how much of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use super::TrustError;

/// What a source answers: the file, or none if it does not have it.
pub type Fetched<'a> = Pin<Box<dyn Future<Output = Result<Option<Vec<u8>>, TrustError>> + Send + 'a>>;

/// Gives files of a repository by the names in which they are served: `3.root.json`, `timestamp.json`,
/// `7.snapshot.json`, `7.targets.json`, `HEX.bundle.x.1.json`.
pub trait TrustSource: Send + Sync {
    /// Fetches `name`, at most `len_max` bytes of it.
    ///
    /// A source that knows the file to be larger returns [`TrustError::TooLarge`]; one that returns more is refused.
    fn fetch<'a>(&'a self, name: &'a str, len_max: u64) -> Fetched<'a>;
}

/// A repository in memory: what a publisher sends to the controller, and what tests attack.
#[derive(Clone, Debug, Default)]
pub struct MemorySource(pub BTreeMap<String, Vec<u8>>);

impl TrustSource for MemorySource {
    fn fetch<'a>(&'a self, name: &'a str, len_max: u64) -> Fetched<'a> {
        let found = match self.0.get(name) {
            Some(bytes) if bytes.len() as u64 > len_max => {
                Err(TrustError::TooLarge { name: name.to_owned(), len_max })
            }
            found => Ok(found.cloned()),
        };
        Box::pin(std::future::ready(found))
    }
}

/// Fetches a file and holds the source to `len_max`.
pub(super) async fn fetch_optional(
    source: &dyn TrustSource,
    name: &str,
    len_max: u64,
) -> Result<Option<Vec<u8>>, TrustError> {
    match source.fetch(name, len_max).await? {
        Some(bytes) if bytes.len() as u64 > len_max => {
            Err(TrustError::TooLarge { name: name.to_owned(), len_max })
        }
        found => Ok(found),
    }
}

/// Fetches a file that must be there.
pub(super) async fn fetch(source: &dyn TrustSource, name: &str, len_max: u64) -> Result<Vec<u8>, TrustError> {
    let found = fetch_optional(source, name, len_max).await?;
    found.ok_or_else(|| TrustError::Missing { name: name.to_owned() })
}
