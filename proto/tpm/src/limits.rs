//! Every bound of this crate, each with its unit and its reason.

use std::time::Duration;

/// Largest command or response, in bytes: the `TPM_PT_MAX_RESPONSE_SIZE` of every TPM that is sold, and of swtpm.
pub const MESSAGE_LEN_MAX: usize = 4096;

/// Largest public area, in bytes. An RSA 2048 endorsement key's is 314.
pub const PUBLIC_LEN_MAX: usize = 512;

/// Largest signed attestation structure, in bytes (`TPMS_ATTEST` with the longest names and qualifying data).
pub const ATTEST_LEN_MAX: usize = 512;

/// Largest signature structure, in bytes. One over P-256 is 72.
pub const SIGNATURE_LEN_MAX: usize = 128;

/// Largest endorsement certificate, in bytes; real ones are 800 to 1,600.
pub const CERTIFICATE_LEN_MAX: usize = 4096;

/// Most bytes of certificates between a TPM's and its maker's: four of the largest.
pub const INTERMEDIATES_LEN_MAX: usize = 16 * 1024;

/// Most certificates in them. Intel's come to four.
pub const INTERMEDIATES_MAX: usize = 6;

/// Most authorities between a TPM's certificate and a listed one. Makers have one or two.
pub const PATH_INTERMEDIATES_MAX: usize = 3;

/// Most NV indices that are read for them, of the 256 that are set aside (TCG EK Credential Profile, 2.2.1.5.2).
pub const INTERMEDIATES_INDICES_MAX: u32 = 8;

/// Bytes of NV memory that are asked for at once: below the `TPM_PT_NV_BUFFER_MAX` of every TPM.
pub const NV_PART_LEN: u16 = 512;

/// PCRs of the platform, counted from 0 (TCG PC Client Platform TPM Profile).
pub const PCRS: u8 = 24;

/// Most events of a boot log that are replayed. A Linux workstation's log has 60 to 200.
pub const EVENTS_MAX: usize = 512;

/// Largest boot log that is read, in bytes. With a kernel and initrd list it is below 128 KiB.
pub const EVENT_LOG_LEN_MAX: u64 = 1024 * 1024;

/// How long a TPM may take to answer. Making an RSA primary key takes a slow one half a minute.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// Most times that a command is repeated because the TPM says that it is busy.
pub const BUSY_TRIES: u32 = 20;

const _: () = assert!(CERTIFICATE_LEN_MAX >= NV_PART_LEN as usize);
const _: () = assert!(ATTEST_LEN_MAX + SIGNATURE_LEN_MAX < MESSAGE_LEN_MAX);
