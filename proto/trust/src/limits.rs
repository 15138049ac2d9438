//! Every bound of this crate, each with its unit and its reason.

use croft_domain::limits::{INVITE_LEN_MAX, MANIFEST_LEN_MAX};

/// Largest `N.root.json`, in bytes: a hundred keys with their signatures fit.
pub const ROOT_LEN_MAX: u64 = 64 * 1024;

/// Largest `timestamp.json`, in bytes: it lists exactly one file.
pub const TIMESTAMP_LEN_MAX: u64 = 16 * 1024;

/// Largest `N.snapshot.json`, in bytes: without delegations it lists exactly one file.
pub const SNAPSHOT_LEN_MAX: u64 = 16 * 1024;

/// Largest `N.targets.json`, in bytes: about 250 bytes for each of [`TARGETS_MAX`] targets, times four.
pub const TARGETS_LEN_MAX: u64 = 4 * 1024 * 1024;

/// Most new root versions taken in one update. A fleet rotates a few times a year.
pub const ROOT_UPDATES_MAX: u64 = 64;

/// Most root versions kept in a stored set, so that a set stays readable within a second.
pub const ROOTS_STORED_MAX: usize = 1024;

/// Most targets in one set.
pub const TARGETS_MAX: usize = 4096;

/// Longest target name, in bytes: `baseline.` + 63 + `.` + 10 digits + `.json`, rounded up. With the digest in front
/// it stays below the 255 bytes of a file name.
pub const TARGET_NAME_LEN_MAX: usize = 128;

/// Largest bundle manifest, in bytes.
pub const BUNDLE_TARGET_LEN_MAX: u64 = MANIFEST_LEN_MAX as u64;

/// Largest other target, in bytes: 1024 groups with their bundles in `fleet.json`.
pub const TARGET_LEN_MAX: u64 = 2 * 1024 * 1024;

/// Largest sum of all targets of one set, in bytes, because a node holds them in memory while it verifies.
pub const SET_LEN_MAX: u64 = 256 * 1024 * 1024;

/// Largest handover between publishers, in bytes: all documents of a large fleet.
pub const HANDOVER_LEN_MAX: u64 = 64 * 1024 * 1024;

/// Furthest a version may rise in one update, so that a stolen key cannot burn the version space (TUF 5.3.11 calls it a
/// fast-forward attack). A node that slept for years under a refresh every day stays within it.
pub const VERSION_JUMP_MAX: u64 = 1000;

/// Highest version at all, also for a node that has no floor yet: a version every second for 136 years.
pub const VERSION_MAX: u64 = u32::MAX as u64;

/// Longest life of a snapshot or timestamp, in seconds (31 days): what bounds a freeze. The default is 14 days.
pub const FRESHNESS_LIFE_MAX_S: u64 = 31 * 86_400;

/// Longest life of targets, in seconds (400 days). The default is 12 months.
pub const TARGETS_LIFE_MAX_S: u64 = 400 * 86_400;

/// Longest life of a root, in seconds (800 days). The default is 24 months.
pub const ROOT_LIFE_MAX_S: u64 = 800 * 86_400;

/// Longest name in an archive, in bytes.
pub const TAR_NAME_LEN_MAX: usize = 1024;

/// Largest header extension in an archive, in bytes: a name and a length.
pub const TAR_EXTENSION_LEN_MAX: u64 = 64 * 1024;

/// Largest header of an archive for air gaps, in bytes: a thousand references.
pub const ARCHIVE_HEADER_LEN_MAX: u64 = 128 * 1024;

/// Most metadata files and targets in one archive: a whole set with every root there ever was.
pub const ARCHIVE_TRUST_FILES_MAX: usize = TARGETS_MAX + ROOTS_STORED_MAX + 3;

/// Largest sum of metadata and targets in one archive, in bytes, because a node holds them in memory while it verifies.
pub const ARCHIVE_TRUST_LEN_MAX: u64 = SET_LEN_MAX + ROOT_LEN_MAX * ROOTS_STORED_MAX as u64 + 8 * 1024 * 1024;

/// Most recalls in one archive: more than a node keeps.
pub const ARCHIVE_RECALLS_MAX: usize = 1024;

/// Most leases in one archive: one for each machine of a site.
pub const ARCHIVE_LEASES_MAX: usize = 1024;

/// Largest recall or lease in an archive, in bytes: its payload and signature in base64.
pub const ARCHIVE_ENVELOPE_LEN_MAX: u64 = 64 * 1024;

/// Largest floors file, in bytes: one epoch for each bundle name there ever was.
pub const FLOORS_LEN_MAX: u64 = 1024 * 1024;

/// Largest PKCS#8 key file, in bytes: P-256 needs 138, encrypted and in PEM about 450.
pub const KEY_FILE_LEN_MAX: u64 = 4096;

/// Longest passphrase, in bytes: a page of words.
pub const PASSPHRASE_LEN_MAX: usize = 1024;

/// Most memory that an encrypted key file may ask scrypt for, in bytes; ours ask for 16 MiB.
pub const SCRYPT_MEMORY_MAX: u128 = 1 << 30;

/// Most memory times repetitions that an encrypted key file may ask scrypt for, in bytes: about ten seconds.
pub const SCRYPT_WORK_MAX: u128 = 4 << 30;

/// Most rounds of PBKDF2 that an encrypted key file may ask for: about ten seconds.
pub const PBKDF2_ROUNDS_MAX: u32 = 10_000_000;

/// Largest OMS signature, in bytes: 4096 files with long names.
pub const OMS_LEN_MAX: usize = 4 * 1024 * 1024;

/// Most files that one OMS signature covers.
pub const OMS_RESOURCES_MAX: usize = 4096;

/// Longest name of a file in an OMS signature, in bytes.
pub const OMS_NAME_LEN_MAX: usize = 512;

/// Piece in which files are read while they are hashed, in bytes: large enough for BLAKE3's widest SIMD path, small
/// enough to stay in the second-level cache.
pub const READ_LEN: usize = 1024 * 1024;

/// Memory for chunks that are hashed at the same time, in bytes.
pub const HASH_WINDOW_LEN: u64 = 64 * 1024 * 1024;

const _: () = assert!(INVITE_LEN_MAX < 64 * 1024);
const _: () = assert!(TARGET_LEN_MAX <= SET_LEN_MAX && BUNDLE_TARGET_LEN_MAX <= SET_LEN_MAX);
const _: () = assert!(TARGET_NAME_LEN_MAX + 65 < 255);
