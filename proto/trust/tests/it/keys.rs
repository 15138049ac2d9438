//! Key files: with a passphrase and without, ours and OpenSSL's, and every one that must not be used.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use croft_domain::signed::Domain;
use croft_trust::keys::{
    KeyFolder, KeySource as _, NoPassphrase, Passphrases, parse_public_key, public_key_pem, read, seal,
};
use croft_trust::sign::{KeyError, SigningKey, sign_envelope, verify};
use zeroize::Zeroizing;

use crate::fleet::key;

/// Gives its texts one after the other.
struct Guesses(&'static [&'static str]);

impl Passphrases for Guesses {
    fn next(&self, _path: &Path, attempt: u32) -> Result<Option<Zeroizing<String>>, KeyError> {
        Ok(self.0.get(attempt as usize).map(|text| Zeroizing::new((*text).to_owned())))
    }
}

fn openssl(dir: &Path, arguments: &[&str]) {
    let run = Command::new("openssl").args(arguments).current_dir(dir).output();
    let run = run.expect("openssl runs; .ci/setup.sh oms installs it");
    assert!(run.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&run.stderr));
}

fn private(path: &Path) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
}

#[test]
fn p3_encrypted_key_opens_with_its_passphrase_only() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = key();
    let folder = KeyFolder { dir: dir.path().to_owned(), passphrases: Guesses(&["wrong", "correct horse"]) };
    folder.save("targets", &made, Some("correct horse")).expect("saved");
    let path = dir.path().join("targets.pk8");
    let bytes = fs::read(&path).expect("read");
    assert_eq!(fs::metadata(&path).expect("metadata").permissions().mode() & 0o777, 0o600);
    assert!(!bytes.windows(16).any(|window| made.pkcs8().windows(16).any(|own| own == window)));
    assert_eq!(folder.point("targets").expect("a point"), Some(made.point()), "no passphrase needed");
    let signer = folder.signer("targets").expect("opened at the second guess");
    let envelope = sign_envelope(&*signer, Domain::Recall, *b"stop").expect("signed");
    verify(&envelope, Domain::Recall, &made.point()).expect("holds");
    let wrong = read(&path, &Guesses(&["wrong", "Correct horse"])).expect_err("refused");
    assert!(matches!(wrong, KeyError::PassphraseWrong { .. }), "{wrong}");
    let missing = read(&path, &NoPassphrase).expect_err("refused");
    assert!(matches!(missing, KeyError::PassphraseMissing { .. }), "{missing}");
    assert!(matches!(SigningKey::load(&path), Err(KeyError::PassphraseMissing { .. })));
    for error in [wrong, missing] {
        assert_eq!(error.code().as_str(), "E-KEY");
        assert!(error.hint().len() > 20);
    }
    assert!(folder.point("root").expect("no such key").is_none());
}

#[test]
fn p3_openssl_reads_our_keys_and_we_read_its() {
    let dir = tempfile::tempdir().expect("a folder");
    let at = |name: &str| dir.path().join(name);
    let made = key();
    fs::write(at("ours.pk8"), seal(&made, "correct horse").expect("sealed")).expect("written");
    let opened = ["pkcs8", "-inform", "DER", "-in", "ours.pk8", "-passin", "pass:correct horse"];
    openssl(dir.path(), &[&opened[..], &["-out", "plain.pem"]].concat());
    private(&at("plain.pem"));
    assert_eq!(read(&at("plain.pem"), &NoPassphrase).expect("PEM").key_id(), made.key_id());
    for (name, options) in [
        ("pbkdf2.pem", &["-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA256", "-outform", "PEM"][..]),
        ("scrypt.der", &["-scrypt", "-outform", "DER"]),
    ] {
        let sealed = ["pkcs8", "-topk8", "-in", "plain.pem", "-passout", "pass:battery", "-out", name];
        openssl(dir.path(), &[&sealed[..], options].concat());
        private(&at(name));
        assert_eq!(read(&at(name), &Guesses(&["battery"])).expect(name).key_id(), made.key_id());
        assert!(matches!(read(&at(name), &Guesses(&["staple"])), Err(KeyError::PassphraseWrong { .. })));
    }
    openssl(dir.path(), &["pkey", "-in", "plain.pem", "-pubout", "-out", "public.pem"]);
    let public = fs::read_to_string(at("public.pem")).expect("read");
    assert_eq!(public, public_key_pem(&made.point()), "byte for byte, since OMS hashes this text");
    assert_eq!(parse_public_key(&public).expect("a point"), made.point());
}

#[test]
fn p3_keys_of_another_kind_are_refused_by_name() {
    let dir = tempfile::tempdir().expect("a folder");
    for (arguments, oid) in [
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"][..], "1.3.132.0.34"),
        (&["-algorithm", "ED25519"], "1.3.101.112"),
        (&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "1.2.840.113549.1.1.1"),
    ] {
        openssl(dir.path(), &[&["genpkey", "-out", "k.pem"], arguments].concat());
        private(&dir.path().join("k.pem"));
        let error = read(&dir.path().join("k.pem"), &NoPassphrase).expect_err("refused");
        assert!(matches!(&error, KeyError::Curve { found } if found == oid), "{error}");
        openssl(dir.path(), &["pkey", "-in", "k.pem", "-pubout", "-out", "k.pub"]);
        let public = fs::read_to_string(dir.path().join("k.pub")).expect("read");
        assert!(matches!(parse_public_key(&public), Err(KeyError::Curve { .. })), "{public}");
    }
}

#[test]
fn p3_encrypted_key_that_others_may_read_is_refused_before_a_passphrase_is_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("k.pk8");
    fs::write(&path, seal(&key(), "x").expect("sealed")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
    struct Never;
    impl Passphrases for Never {
        fn next(&self, path: &Path, _attempt: u32) -> Result<Option<Zeroizing<String>>, KeyError> {
            panic!("asked for {}", path.display());
        }
    }
    assert!(matches!(read(&path, &Never), Err(KeyError::Exposed { mode: 0o640, .. })));
}

#[test]
fn p9_key_files_of_any_bytes_are_answered_within_bounds() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("k.pk8");
    let sealed = seal(&key(), "x").expect("sealed");
    let mut tries: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0x30; 5000],
        b"-----BEGIN PRIVATE KEY-----\n".to_vec(),
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n".to_vec(),
    ];
    tries.extend((0..sealed.len()).step_by(7).map(|len| sealed[..len].to_vec()));
    // scrypt's block size and repetitions, raised from 8 and 5 to 127 each: 266 MB, 127 times over.
    let cost = [0x02, 0x02, 0x40, 0x00, 0x02, 0x01, 0x08, 0x02, 0x01, 0x05];
    let at = sealed.windows(cost.len()).position(|window| window == cost).expect("the parameters");
    let mut greedy = sealed.clone();
    (greedy[at + 6], greedy[at + 9]) = (127, 127);
    fs::write(&path, &greedy).expect("written");
    private(&path);
    assert!(matches!(read(&path, &Guesses(&["x"])), Err(KeyError::Encryption { .. })));
    for bytes in tries {
        fs::write(&path, &bytes).expect("written");
        private(&path);
        let error = read(&path, &Guesses(&["x"])).expect_err("refused");
        assert_eq!(error.code().as_str(), "E-KEY", "{error}");
    }
    assert!(seal(&key(), "").is_err() && seal(&key(), &"x".repeat(1025)).is_err());
}
