//! Who made a TPM: paths from its certificate to an authority of the list, and everything that must not pass for one.

use std::time::{Duration, SystemTime};

use croft_tpm::error::ProofError;
use croft_tpm::key::TpmKey;
use croft_tpm::manufacturer::{Claim, authority, issuer};
use croft_tpm::public::Public;
use croft_tpm::template;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PublicKeyData, SubjectPublicKeyInfo,
};

use crate::swtpm::{Maker, Swtpm};

const FOR_ENDORSEMENT: &[u64] = &[2, 23, 133, 8, 1];
const DAY: Duration = Duration::from_hours(24);

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// An authority of a maker.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: Vec<u8>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let now = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(now());
    (params.not_before, params.not_after) = (now - DAY, now + DAY);
    params
}

fn authority_params(name: &str, constraints: BasicConstraints) -> CertificateParams {
    let mut params = params(name);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    fn root(constraints: BasicConstraints) -> Self {
        let (params, key) = (authority_params("A maker's root", constraints), KeyPair::generate().unwrap());
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    fn issue(&self, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().to_vec());
        Self { issuer: Issuer::new(params, key), pem, der }
    }

    fn certify(&self, endorsement: &Endorsement, params: &CertificateParams) -> Vec<u8> {
        params.signed_by(&endorsement.key, &self.issuer).unwrap().der().to_vec()
    }
}

/// An endorsement key, as a TPM and as a certificate see it.
struct Endorsement {
    public: Public,
    key: SubjectPublicKeyInfo,
}

impl Endorsement {
    fn new() -> Self {
        let pair = KeyPair::generate().unwrap();
        let point = pair.public_key_raw();
        let area = template::endorsement_p256();
        let area = [&area[..area.len() - 68], &[0, 32], &point[1..33], &[0, 32], &point[33..]].concat();
        let key = SubjectPublicKeyInfo::from_der(&pair.subject_public_key_info()).unwrap();
        Self { public: Public::parse("the endorsement key", &area).unwrap(), key }
    }
}

fn leaf() -> CertificateParams {
    let mut params = params("A TPM");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(FOR_ENDORSEMENT.to_vec())];
    params
}

fn between() -> CertificateParams {
    authority_params("A maker's line of TPMs", BasicConstraints::Constrained(0))
}

fn judge(
    endorsement: &Endorsement,
    certificate: &[u8],
    intermediates: &[u8],
    list: &[&Authority],
) -> Result<Option<[u8; 32]>, ProofError> {
    let list: Vec<String> = list.iter().map(|authority| authority.pem.clone()).collect();
    issuer(Claim { certificate, intermediates, endorsement: &endorsement.public }, &list, now())
}

#[test]
fn a_tpm_whose_maker_issued_by_an_intermediate_is_known_by_its_root() {
    let tpm = Swtpm::start(Maker::Known);
    let between = pem_to_der(&tpm.authority());
    tpm.lay_in(&[&between[..], &pem_to_der(&tpm.root())].concat());
    let given = TpmKey::create(&tpm.socket()).unwrap().endorsement().unwrap();
    assert!(given.intermediates.starts_with(&between));
    let endorsement = Public::parse("", &given.public).unwrap();
    let judge = |intermediates, list: &[String]| {
        issuer(
            Claim { certificate: &given.certificate, intermediates, endorsement: &endorsement },
            list,
            now(),
        )
    };
    let root = authority(&tpm.root()).unwrap();
    assert_eq!(judge(&given.intermediates, &[tpm.root()]), Ok(Some(root)));
    assert_eq!(judge(&[], &[tpm.root()]), Ok(None), "what lies between is missing");
    let issuing = authority(&tpm.authority()).unwrap();
    assert_eq!(judge(&given.intermediates, &[tpm.authority()]), Ok(Some(issuing)), "listed itself");
    let other = Swtpm::start(Maker::Known);
    assert_eq!(judge(&given.intermediates, &[other.root()]), Ok(None));
}

fn pem_to_der(pem: &str) -> Vec<u8> {
    x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap().1.contents
}

#[test]
fn a_path_goes_over_as_many_authorities_as_makers_have_in_any_order() {
    let (root, tpm) = (Authority::root(BasicConstraints::Unconstrained), Endorsement::new());
    let line = root.issue(authority_params("A line", BasicConstraints::Constrained(1)));
    let year = line.issue(between());
    let certificate = year.certify(&tpm, &leaf());
    let known = Ok(Some(authority(&root.pem).unwrap()));
    assert_eq!(judge(&tpm, &certificate, &[&line.der[..], &year.der].concat(), &[&root]), known);
    // Filled up behind, and with a stranger among them.
    let stranger = Authority::root(BasicConstraints::Unconstrained);
    let padded = [&year.der[..], &stranger.der, &line.der, &[0xFF; 40]].concat();
    assert_eq!(judge(&tpm, &certificate, &padded, &[&stranger, &root]), known);
    assert_eq!(judge(&tpm, &certificate, &year.der, &[&root]), Ok(None), "one is missing");
}

#[test]
fn p4_an_intermediate_that_may_not_issue_leads_nowhere() {
    let (root, tpm) = (Authority::root(BasicConstraints::Unconstrained), Endorsement::new());
    let unknown = |params: CertificateParams, why: &str| {
        let between = root.issue(params);
        let certificate = between.certify(&tpm, &leaf());
        assert_eq!(judge(&tpm, &certificate, &between.der, &[&root]), Ok(None), "{why}");
    };
    unknown(params("A maker's line of TPMs"), "it is no authority");
    let mut wrong_usage = between();
    wrong_usage.key_usages = vec![KeyUsagePurpose::CrlSign];
    unknown(wrong_usage, "its key may sign no certificates");
    let mut expired = between();
    expired.not_after = expired.not_before + DAY / 2;
    unknown(expired, "it has expired");
    let mut other_purpose = between();
    other_purpose.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    unknown(other_purpose, "it is for another purpose");
    let mut critical = between();
    let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 1, 1], vec![5, 0]);
    extension.set_criticality(true);
    critical.custom_extensions.push(extension);
    unknown(critical, "something critical in it is not understood");
    // And so that the helper can be believed:
    let honest = root.issue(between());
    let certificate = honest.certify(&tpm, &leaf());
    assert!(judge(&tpm, &certificate, &honest.der, &[&root]).unwrap().is_some());
}

#[test]
fn p4_a_path_is_not_longer_than_its_authorities_allow() {
    let tpm = Endorsement::new();
    for constraints in [BasicConstraints::Constrained(0), BasicConstraints::Unconstrained] {
        let root = Authority::root(constraints);
        let line = root.issue(authority_params("A line", BasicConstraints::Unconstrained));
        let certificate = line.certify(&tpm, &leaf());
        let is_known = judge(&tpm, &certificate, &line.der, &[&root]).unwrap().is_some();
        assert_eq!(is_known, constraints == BasicConstraints::Unconstrained);
    }
    // However freely they are given out, more than makers have are not followed.
    let root = Authority::root(BasicConstraints::Unconstrained);
    let mut path = vec![root.issue(authority_params("Authority 0", BasicConstraints::Unconstrained))];
    for at in 1..4 {
        let params = authority_params(&format!("Authority {at}"), BasicConstraints::Unconstrained);
        path.push(path[at - 1].issue(params));
        let certificate = path[at].certify(&tpm, &leaf());
        let between: Vec<u8> = path.iter().flat_map(|authority| authority.der.clone()).collect();
        let is_known = judge(&tpm, &certificate, &between, &[&root]).unwrap().is_some();
        assert_eq!(is_known, path.len() <= 3, "{} between", path.len());
    }
}

#[test]
fn p4_an_intermediate_of_the_same_name_and_another_key_leads_nowhere() {
    let (root, tpm) = (Authority::root(BasicConstraints::Unconstrained), Endorsement::new());
    let forger = Authority::root(BasicConstraints::Unconstrained);
    assert_ne!(root.pem, forger.pem);
    let between = forger.issue(between());
    let certificate = between.certify(&tpm, &leaf());
    // The forger's root has the listed one's name, and comes along.
    let along = [&between.der[..], &forger.der].concat();
    assert_eq!(judge(&tpm, &certificate, &along, &[&root]), Ok(None));
}

#[test]
fn p4_a_makers_certificate_for_something_else_is_no_endorsement() {
    let (root, tpm) = (Authority::root(BasicConstraints::Unconstrained), Endorsement::new());
    let is_wrong = |params: CertificateParams| {
        let judged = judge(&tpm, &root.certify(&tpm, &params), &[], &[&root]);
        assert!(matches!(judged, Err(ProofError::Kind { .. })), "{judged:?}");
    };
    let mut server = leaf();
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    is_wrong(server);
    is_wrong(between());
    // Older makers do not say what it is for.
    assert!(judge(&tpm, &root.certify(&tpm, &params("A TPM")), &[], &[&root]).unwrap().is_some());
}

#[test]
fn p4_what_lies_between_is_bounded() {
    let (root, tpm) = (Authority::root(BasicConstraints::Unconstrained), Endorsement::new());
    let certificate = root.certify(&tpm, &leaf());
    let is_malformed = |bytes: &[u8]| {
        assert!(matches!(judge(&tpm, &certificate, bytes, &[&root]), Err(ProofError::Malformed { .. })));
    };
    is_malformed(&root.der.repeat(7));
    is_malformed(&[0; 16 * 1024 + 1]);
    assert!(judge(&tpm, &certificate, &[0; 16 * 1024], &[&root]).unwrap().is_some());
}
