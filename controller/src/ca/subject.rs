//! Whom a certificate names: one SPIFFE-style URI, `spiffe://FLEET/node/ID` or `spiffe://FLEET/admin/NAME`.

use croft_domain::id::{GroupName, NodeId};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// Somebody with a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A node.
    Node(NodeId),
    /// An admin, by a name that is safe everywhere (the same letters as a group's).
    Admin(GroupName),
}

impl Subject {
    /// The URI of this subject in a fleet.
    #[must_use]
    pub fn uri(&self, fleet: &str) -> String {
        match self {
            Self::Node(id) => format!("spiffe://{fleet}/node/{id}"),
            Self::Admin(name) => format!("spiffe://{fleet}/admin/{name}"),
        }
    }

    fn parse(uri: &str, fleet: &str) -> Option<Self> {
        let path = uri.strip_prefix("spiffe://")?.strip_prefix(fleet)?.strip_prefix('/')?;
        match path.split_once('/')? {
            ("node", id) => id.parse().ok().map(Self::Node),
            ("admin", name) => name.parse().ok().map(Self::Admin),
            _ => None,
        }
    }
}

pub(super) fn spki_of(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    Some(parsed.public_key().raw.to_vec())
}

// Exactly one name: a certificate that named two subjects would be read by two readers in two ways.
pub(super) fn identify(certificate: &CertificateDer<'_>, fleet: &str) -> Option<(Subject, [u8; 65])> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else { return None };
    let point: &[u8] = &parsed.public_key().subject_public_key.data;
    Some((Subject::parse(uri, fleet)?, point.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_two_kinds_of_this_fleet_are_names() {
        let fleet = "ab".repeat(16);
        let node = Subject::Node(NodeId([1; 16]));
        assert_eq!(Subject::parse(&node.uri(&fleet), &fleet), Some(node));
        for wrong in [
            "spiffe://other/node/01010101010101010101010101010101".to_owned(),
            format!("spiffe://{fleet}evil/admin/root"),
            format!("spiffe://{fleet}/admin/../node"),
            format!("spiffe://{fleet}/robot/x"),
            format!("https://{fleet}/admin/root"),
            String::new(),
        ] {
            assert_eq!(Subject::parse(&wrong, &fleet), None, "{wrong}");
        }
    }
}
