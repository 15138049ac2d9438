//! A seal by itself: the cheap questions that come before a set is judged, for a mirror that takes seals from strangers.

use tough::schema::{Root, Signed, Snapshot, Timestamp};

use super::TrustError;
use crate::limits::{SNAPSHOT_LEN_MAX, TIMESTAMP_LEN_MAX};

/// The versions of a snapshot and a timestamp that the freshness key of `root` signed. Whether they belong to a set, and
/// are newer than another, is for [`super::TrustStore::update`].
///
/// # Errors
/// They are too large, cannot be read, or are signed by somebody else.
pub fn seal_versions(root: &[u8], snapshot: &[u8], timestamp: &[u8]) -> Result<(u64, u64), TrustError> {
    for (name, bytes, len_max) in
        [("snapshot.json", snapshot, SNAPSHOT_LEN_MAX), ("timestamp.json", timestamp, TIMESTAMP_LEN_MAX)]
    {
        if bytes.len() as u64 > len_max {
            return Err(TrustError::TooLarge { name: name.to_owned(), len_max });
        }
    }
    let root: Signed<Root> =
        serde_json::from_slice(root).map_err(|error| TrustError::malformed("root.json", error))?;
    let timestamp: Signed<Timestamp> =
        serde_json::from_slice(timestamp).map_err(|error| TrustError::malformed("timestamp.json", error))?;
    let unsigned = |name| move |error| TrustError::malformed(name, error);
    root.signed.verify_role(&timestamp).map_err(unsigned("timestamp.json"))?;
    let snapshot: Signed<Snapshot> =
        serde_json::from_slice(snapshot).map_err(|error| TrustError::malformed("snapshot.json", error))?;
    root.signed.verify_role(&snapshot).map_err(unsigned("snapshot.json"))?;
    Ok((snapshot.signed.version.get(), timestamp.signed.version.get()))
}
