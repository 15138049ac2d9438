//! The fleet's certificate authority: who is who on a connection, and nothing more.
//!
//! It certifies nodes, admins and this server. It approves no bundle and no baseline, so that a stolen CA key can open
//! connections but cannot change what runs. Requests contribute a public key only: what a certificate says is decided
//! here, never by the one who asks.

mod subject;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::time::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData,
    SanType, SerialNumber,
};
use rustls::pki_types::{
    CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject,
};

pub use subject::Subject;

use crate::limits;

/// A certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CaError {
    /// The CA's own key or certificate cannot be used.
    #[error("the CA's key or certificate is damaged")]
    Own {
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The request is not one over a P-256 key, signed by that key.
    #[error("the certificate request is not valid: expected PKCS #10 over a P-256 key, signed by it")]
    Request,
    /// A name cannot be written into a certificate.
    #[error("the name {0:?} cannot be written into a certificate")]
    Name(String),
}

impl CaError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Own { .. } => Code::Key,
            Self::Request | Self::Name(_) => Code::Input,
        }
    }
}

fn own(source: rcgen::Error) -> CaError {
    CaError::Own { source }
}

/// A request that was checked: its signature holds under its own key, which is over P-256.
#[derive(Clone, Debug)]
pub struct Request {
    point: [u8; 65],
    spki: Vec<u8>,
}

impl Request {
    /// Checks a PKCS #10 request. Its subject and extensions are not read any further.
    ///
    /// # Errors
    /// [`CaError::Request`].
    pub fn parse(der: &[u8]) -> Result<Self, CaError> {
        if der.len() > limits::CSR_LEN_MAX {
            return Err(CaError::Request);
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der))
            .map_err(|_| CaError::Request)?;
        if request.public_key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(CaError::Request);
        }
        let point: [u8; 65] = request.public_key.der_bytes().try_into().map_err(|_| CaError::Request)?;
        if point[0] != 4 {
            return Err(CaError::Request);
        }
        Ok(Self { point, spki: request.public_key.subject_public_key_info() })
    }

    /// The key's uncompressed point (SEC 1).
    #[must_use]
    pub const fn point(&self) -> &[u8; 65] {
        &self.point
    }
}

/// A server's certificate chain with its key.
pub struct ServerIdentity {
    /// Leaf and CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's key.
    pub key: PrivateKeyDer<'static>,
}

/// The CA.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    pin: Sha256Digest,
    fleet: String,
}

impl Authority {
    /// Makes a CA for a fleet. Gives its certificate (PEM) and its key (PKCS #8 DER), both to be kept.
    ///
    /// # Errors
    /// If the library refuses.
    pub fn create(fleet_name: &str, now: Timestamp) -> Result<(String, Vec<u8>), CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(own)?;
        let mut params = params(now, limits::CA_TTL_S)?;
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, format!("Croft CA of {fleet_name}"));
        params.distinguished_name = name;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(own)?;
        Ok((certificate.pem(), key.serialize_der()))
    }

    /// Opens a CA that was made before. `fleet` is the fleet's id as certificates name it.
    ///
    /// # Errors
    /// If certificate or key do not parse, or do not belong together.
    pub fn open(certificate_pem: &str, key_pkcs8: &[u8], fleet: String) -> Result<Self, CaError> {
        let certificate = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|_| own(rcgen::Error::CouldNotParseCertificate))?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pkcs8.to_vec()));
        let key = KeyPair::from_der_and_sign_algo(&key, &PKCS_ECDSA_P256_SHA256).map_err(own)?;
        let spki = subject::spki_of(&certificate).ok_or(own(rcgen::Error::CouldNotParseCertificate))?;
        if spki != key.subject_public_key_info() {
            return Err(own(rcgen::Error::CouldNotParseKeyPair));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(own)?;
        Ok(Self {
            issuer,
            certificate,
            certificate_pem: certificate_pem.to_owned(),
            pin: sha256(&spki),
            fleet,
        })
    }

    /// SHA-256 of the CA's SubjectPublicKeyInfo: what nodes pin (RFC 7469).
    #[must_use]
    pub const fn pin(&self) -> Sha256Digest {
        self.pin
    }

    /// The CA's certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Certifies a client for `ttl_s` seconds. Gives the chain as PEM, leaf first.
    ///
    /// # Errors
    /// If the name cannot be written, or the library refuses.
    pub fn certify(
        &self,
        request: &Request,
        subject: &Subject,
        ttl_s: u64,
        now: Timestamp,
    ) -> Result<String, CaError> {
        let mut params = params(now, ttl_s)?;
        let uri = subject.uri(&self.fleet);
        params.subject_alt_names =
            vec![SanType::URI(uri.clone().try_into().map_err(|_| CaError::Name(uri))?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = rcgen::SubjectPublicKeyInfo::from_der(&request.spki).map_err(|_| CaError::Request)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(own)?;
        Ok(format!("{}{}", certificate.pem(), self.certificate_pem))
    }

    /// A fresh key and certificate for this server, for the given host names and addresses.
    ///
    /// # Errors
    /// If a host cannot be written, or the library refuses.
    pub fn server(&self, hosts: &[String], now: Timestamp) -> Result<ServerIdentity, CaError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(own)?;
        let mut params = params(now, limits::SERVER_CERTIFICATE_TTL_S)?;
        for host in hosts {
            params.subject_alt_names.push(match host.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(host.clone().try_into().map_err(|_| CaError::Name(host.clone()))?),
            });
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(own)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        })
    }

    /// Whom a verified client certificate names in this fleet, and with which key.
    #[must_use]
    pub fn identify(&self, certificate: &CertificateDer<'_>) -> Option<(Subject, [u8; 65])> {
        subject::identify(certificate, &self.fleet)
    }
}

fn params(now: Timestamp, ttl_s: u64) -> Result<CertificateParams, CaError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let time = |at: Timestamp| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(at.0);
    params.not_before = time(now.minus(limits::CERTIFICATE_BACKDATE_S));
    params.not_after = time(now.plus(ttl_s));
    let mut serial = [0_u8; 16];
    getrandom::fill(&mut serial).map_err(|_| own(rcgen::Error::RingUnspecified))?;
    // Positive and never zero (RFC 5280, 4.1.2.2).
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    Ok(params)
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0_u8; 32];
    out.copy_from_slice(digest.as_ref());
    Sha256Digest(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use croft_domain::id::NodeId;

    fn authority() -> Authority {
        let (pem, key) = Authority::create("test", Timestamp(1_000_000)).unwrap();
        Authority::open(&pem, &key, "ab".repeat(16)).unwrap()
    }

    fn request() -> Vec<u8> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        // Asks for more than anybody gives: none of it may end up in a certificate.
        let mut params = CertificateParams::new(vec!["evil.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.serialize_request(&key).unwrap().der().to_vec()
    }

    #[test]
    fn what_a_request_asks_for_is_not_certified() {
        let authority = authority();
        let parsed = Request::parse(&request()).unwrap();
        let node = Subject::Node(NodeId([7; 16]));
        let pem = authority.certify(&parsed, &node, 60, Timestamp(1_000_000)).unwrap();
        assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2);
        let leaf = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let (_, parsed_leaf) = x509_parser::parse_x509_certificate(&leaf).unwrap();
        assert!(!parsed_leaf.is_ca());
        assert!(!format!("{:?}", parsed_leaf.subject_alternative_name()).contains("evil"));
        assert_eq!(authority.identify(&leaf), Some((node, *parsed.point())));
    }

    #[test]
    fn a_certificate_of_another_fleet_names_nobody() {
        let (pem, key) = Authority::create("test", Timestamp(1_000_000)).unwrap();
        let ours = Authority::open(&pem, &key, "ab".repeat(16)).unwrap();
        let theirs = Authority::open(&pem, &key, "cd".repeat(16)).unwrap();
        let parsed = Request::parse(&request()).unwrap();
        let chain = theirs
            .certify(&parsed, &Subject::Admin("root".parse().unwrap()), 60, Timestamp(1_000_000))
            .unwrap();
        assert_eq!(ours.identify(&CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()), None);
    }

    #[test]
    fn a_request_that_was_changed_is_refused() {
        let mut der = request();
        let last = der.len() - 1;
        der[last] ^= 1;
        assert!(Request::parse(&der).is_err());
        assert!(Request::parse(&[]).is_err());
        assert!(Request::parse(&vec![0x30; limits::CSR_LEN_MAX + 1]).is_err());
    }

    #[test]
    fn a_key_that_is_not_the_certificates_is_refused() {
        let (pem, _) = Authority::create("a", Timestamp(1_000_000)).unwrap();
        let (_, key) = Authority::create("b", Timestamp(1_000_000)).unwrap();
        assert!(Authority::open(&pem, &key, String::new()).is_err());
    }
}
