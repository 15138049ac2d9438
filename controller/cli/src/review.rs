//! Reviews: a person read a report, looked at the chains behind it, and signs what follows. The signed document names the
//! exact bytes of the report; the folder with both verifies offline, with this program or with openssl alone.

use std::path::{Path, PathBuf};

use croft_domain::digest::Sha256Digest;
use croft_domain::fleet::KeyEntry;
use croft_domain::id::{FleetId, ReportId};
use croft_domain::report::{Report, Standing};
use croft_domain::signed::{Domain, Envelope};
use croft_domain::time::Timestamp;
use croft_trust::digest::sha256;
use croft_trust::keys::{parse_public_key, public_key_pem};
use croft_trust::sign::{POINT_LEN, verify_listed};
use serde::{Deserialize, Serialize};

use crate::error::CtlError;
use crate::fleet_dir::{create_private, read, write};
use crate::limits::{DOCUMENT_LEN_MAX, REVIEWED_LEN_MAX};

const PAYLOAD: &str = "review.json";
const SIGNATURE: &str = "review.sig";
const KEY: &str = "reviewer.pem";
const JSON: &str = "report.json";
const HTML: &str = "report.html";
const HOW: &str = "VERIFY.txt";

/// What the person concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The fleet is as it should be.
    Accepted,
    /// It is not; the comment says what is to be done.
    Rejected,
}

/// What was recomputed before the review was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Audited {
    /// Chains, all of which held.
    pub chains: u64,
    /// Their links.
    pub links: u64,
    /// Links whose bodies were erased.
    pub erased: u64,
    /// Signed checkpoints that they were held against.
    pub checkpoints: u64,
}

/// The signed document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Always 1.
    pub version: u32,
    /// Of which fleet.
    pub fleet: FleetId,
    /// Of which report.
    pub report: ReportId,
    /// The state at this time.
    pub as_of: Timestamp,
    /// SHA-256 of the report for programs.
    pub report_sha256: Sha256Digest,
    /// SHA-256 of the report for people.
    pub html_sha256: Sha256Digest,
    /// Who read it.
    pub reviewer: String,
    /// When.
    pub at: Timestamp,
    /// With which outcome.
    pub outcome: Outcome,
    /// What there is to say.
    pub comment: String,
    /// What was recomputed before.
    pub audited: Audited,
}

/// A review with all that it names, as one folder.
#[derive(Clone, Debug)]
pub struct Pack {
    /// The signed review.
    pub envelope: Envelope,
    /// The reviewer's public point.
    pub point: [u8; POINT_LEN],
    /// The report for programs.
    pub json: Vec<u8>,
    /// The report for people.
    pub html: Vec<u8>,
}

/// Whose signature counts.
pub enum Trusted<'a> {
    /// Reviewer keys of the signed fleet document.
    Listed(&'a [KeyEntry]),
    /// The key with this digest, which somebody was told by the reviewer.
    Named(Sha256Digest),
}

impl Pack {
    /// Writes the folder. Nothing in it is overwritten.
    ///
    /// # Errors
    /// It exists, or cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), CtlError> {
        if folder.exists() {
            return Err(CtlError::Conflict {
                message: format!("{} exists already", folder.display()),
                hint: "name another folder: a signed review is not overwritten".to_owned(),
            });
        }
        create_private(folder)?;
        for (name, bytes) in [
            (JSON, self.json.as_slice()),
            (HTML, &self.html),
            (PAYLOAD, &self.envelope.payload),
            (SIGNATURE, &self.envelope.signature),
            (KEY, public_key_pem(&self.point).as_bytes()),
            (HOW, how_to_verify().as_bytes()),
        ] {
            write(&folder.join(name), bytes, 0o600)?;
        }
        Ok(())
    }

    /// Reads a folder; the path of any file in it will do.
    ///
    /// # Errors
    /// A file is missing, too long, or no key.
    pub fn read(path: &Path) -> Result<Self, CtlError> {
        // Else the answer would be about a file beside one that is not there.
        std::fs::metadata(path).map_err(|source| CtlError::FileRead { path: path.to_owned(), source })?;
        let folder = if path.is_dir() {
            path.to_owned()
        } else {
            path.parent().map_or_else(PathBuf::new, Path::to_owned)
        };
        let document = |name: &str| read(&folder.join(name), DOCUMENT_LEN_MAX);
        let pem = document(KEY)?;
        let point = std::str::from_utf8(&pem).ok().and_then(|pem| parse_public_key(pem).ok());
        let point = point.ok_or_else(|| forged("reviewer.pem holds no P-256 public key"))?;
        let envelope =
            Envelope { payload: document(PAYLOAD)?, signature: document(SIGNATURE)?, key_id: sha256(&point) };
        let report = |name: &str| read(&folder.join(name), REVIEWED_LEN_MAX);
        Ok(Self { envelope, point, json: report(JSON)?, html: report(HTML)? })
    }

    /// Checks signature, key and every byte of the report, and gives what was signed.
    ///
    /// # Errors
    /// [`CtlError::Review`] says what was changed.
    pub fn verify(&self, trusted: &Trusted<'_>) -> Result<Review, CtlError> {
        let review: Review = serde_json::from_slice(&self.envelope.payload)
            .map_err(|e| forged(&format!("review.json is no review: {e}")))?;
        if review.version != 1 {
            return Err(forged("review.json is of a version that is not known here (1 is)"));
        }
        match trusted {
            Trusted::Listed(keys) => verify_listed(&self.envelope, Domain::Review, keys, review.at)
                .map_err(|e| forged(&format!("no reviewer key of this fleet signed it: {e}")))?,
            Trusted::Named(key) if *key != self.envelope.key_id => {
                return Err(forged(&format!("it is signed by {}, not by {key}", self.envelope.key_id)));
            }
            Trusted::Named(_) => croft_trust::sign::verify(&self.envelope, Domain::Review, &self.point)
                .map_err(|_| forged("review.json was changed after it was signed"))?,
        }
        for (name, bytes, signed) in
            [(JSON, &self.json, review.report_sha256), (HTML, &self.html, review.html_sha256)]
        {
            if sha256(bytes) != signed {
                return Err(forged(&format!("{name} is not the one that was signed")));
            }
        }
        let report: Report = serde_json::from_slice(&self.json)
            .map_err(|e| forged(&format!("report.json is no report: {e}")))?;
        if (report.id, report.fleet, report.as_of) != (review.report, review.fleet, review.as_of) {
            return Err(forged("the review is of another report"));
        }
        if Standing::of(&report.nodes, report.as_of) != report.standing {
            return Err(forged("the report's sums are not those of its nodes"));
        }
        Ok(review)
    }
}

fn forged(message: &str) -> CtlError {
    CtlError::Review { message: message.to_owned() }
}

fn how_to_verify() -> String {
    format!(
        "This folder is a signed review of a compliance report. It can be checked without a network:\n\n\
         croftctl report verify .\n\n\
         or, with the key that the reviewer named to you, by openssl alone:\n\n\
         (printf 'croft/review/v1\\000'; cat {PAYLOAD}) > signed.bin\n\
         openssl dgst -sha256 -verify {KEY} -signature {SIGNATURE} signed.bin\n\
         sha256sum {JSON} {HTML}   # must be report_sha256 and html_sha256 in {PAYLOAD}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_trust::sign::SigningKey;

    fn pack(key: &SigningKey) -> Pack {
        let report = Report {
            id: ReportId([1; 16]),
            fleet: FleetId([2; 16]),
            fleet_name: "Acme".to_owned(),
            as_of: Timestamp(1000),
            standing: Standing::default(),
            nodes: Vec::new(),
            bundles: Vec::new(),
            census: Vec::new(),
            usage: Default::default(),
            recalls: Vec::new(),
            waivers: Vec::new(),
        };
        let (json, html) = (serde_json::to_vec(&report).expect("JSON"), b"<html>".to_vec());
        let review = Review {
            version: 1,
            fleet: report.fleet,
            report: report.id,
            as_of: report.as_of,
            report_sha256: sha256(&json),
            html_sha256: sha256(&html),
            reviewer: "Ada".to_owned(),
            at: Timestamp(2000),
            outcome: Outcome::Accepted,
            comment: "nothing to add".to_owned(),
            audited: Audited { chains: 0, links: 0, erased: 0, checkpoints: 0 },
        };
        let envelope = key.sign(Domain::Review, serde_json::to_vec(&review).expect("JSON"));
        Pack { envelope, point: key.point(), json, html }
    }

    #[test]
    fn p7_a_review_verifies_from_its_folder_by_the_fleets_keys_or_by_a_named_one() {
        let key = SigningKey::generate().expect("a key");
        let temp = tempfile::tempdir().expect("a folder");
        let folder = temp.path().join("review");
        pack(&key).write(&folder).expect("written");
        assert!(matches!(pack(&key).write(&folder), Err(CtlError::Conflict { .. })));
        let read = Pack::read(&folder.join("review.json")).expect("read");
        let keys = [key.entry(Timestamp(0), Timestamp(9000))];
        let review = read.verify(&Trusted::Listed(&keys)).expect("it holds");
        assert_eq!((review.reviewer.as_str(), review.outcome), ("Ada", Outcome::Accepted));
        read.verify(&Trusted::Named(key.key_id())).expect("it holds");
        // A key that did not count yet, one that does not count any more, one of somebody else.
        let (late, gone) =
            (key.entry(Timestamp(2001), Timestamp(9000)), key.entry(Timestamp(0), Timestamp(2000)));
        for keys in [vec![late], vec![gone], Vec::new()] {
            assert!(matches!(read.verify(&Trusted::Listed(&keys)), Err(CtlError::Review { .. })));
        }
        let other = SigningKey::generate().expect("a key").key_id();
        assert!(matches!(read.verify(&Trusted::Named(other)), Err(CtlError::Review { .. })));
    }

    #[test]
    fn p7_a_report_or_review_that_was_altered_is_refused_by_what_was_altered() {
        type Attack = (&'static str, fn(&mut Pack));
        let key = SigningKey::generate().expect("a key");
        let attacks: [Attack; 6] = [
            ("report.json is not", |pack| pack.json.push(b' ')),
            ("report.html is not", |pack| pack.html = b"<html>fine".to_vec()),
            ("changed after it was signed", |pack| {
                let text = String::from_utf8(pack.envelope.payload.clone()).expect("text");
                pack.envelope.payload = text.replace("accepted", "rejected").into_bytes();
            }),
            ("changed after it was signed", |pack| pack.envelope.signature[9] ^= 1),
            ("is no review", |pack| pack.envelope.payload = b"{}".to_vec()),
            ("is signed by", |pack| {
                let thief = SigningKey::generate().expect("a key");
                pack.envelope = thief.sign(Domain::Review, pack.envelope.payload.clone());
                pack.point = thief.point();
            }),
        ];
        for (said, attack) in attacks {
            let mut pack = pack(&key);
            attack(&mut pack);
            match pack.verify(&Trusted::Named(key.key_id())) {
                Err(CtlError::Review { message }) => assert!(message.contains(said), "{said}: {message}"),
                other => panic!("{said}: {other:?}"),
            }
        }
        // A document of another kind that the same key signed is no review.
        let mut other = pack(&key);
        other.envelope = key.sign(Domain::Recall, other.envelope.payload.clone());
        assert!(other.verify(&Trusted::Named(key.key_id())).is_err());
    }
}
