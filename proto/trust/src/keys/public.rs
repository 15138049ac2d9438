//! Public keys as people hand them on: PEM SubjectPublicKeyInfo (RFC 5480), as OpenSSL and OMS write it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits::KEY_FILE_LEN_MAX;
use crate::sign::{KeyError, POINT_LEN};

/// What stands before the point in the DER of any P-256 SubjectPublicKeyInfo.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// A public point as PEM, with a line feed at its end.
#[must_use]
pub fn public_key_pem(point: &[u8; POINT_LEN]) -> String {
    let text = STANDARD.encode([&SPKI_PREFIX[..], point].concat());
    let mut pem = format!("{BEGIN}\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|b| char::from(*b)));
        pem.push('\n');
    }
    pem + END + "\n"
}

/// Reads a P-256 public key from PEM. The point is checked for its form; whether it lies on the curve is checked by
/// every verification.
///
/// # Errors
/// [`KeyError::Curve`] for another kind of key, [`KeyError::Malformed`] for anything else.
pub fn parse_public_key(text: &str) -> Result<[u8; POINT_LEN], KeyError> {
    let inside = text.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END));
    let inside = inside.ok_or(KeyError::Malformed)?;
    let packed: String = inside.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let der = STANDARD.decode(packed).map_err(|_| KeyError::Malformed)?;
    let Some(point) = der.strip_prefix(&SPKI_PREFIX[..]) else {
        use pkcs8::SubjectPublicKeyInfoRef;
        let info = SubjectPublicKeyInfoRef::try_from(&der[..]).map_err(|_| KeyError::Malformed)?;
        let found = info.algorithm.parameters_oid().unwrap_or(info.algorithm.oid);
        return Err(KeyError::Curve { found: found.to_string() });
    };
    let point = <[u8; POINT_LEN]>::try_from(point).map_err(|_| KeyError::Malformed)?;
    if point[0] == 4 { Ok(point) } else { Err(KeyError::Malformed) }
}

/// Reads a public key file.
pub(super) fn read(path: &Path) -> Result<[u8; POINT_LEN], KeyError> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_LEN_MAX).read_to_string(&mut text))
        .map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
    parse_public_key(&text).map_err(|error| match error {
        KeyError::Malformed => KeyError::MalformedFile { path: path.to_owned() },
        other => other,
    })
}
