//! The connection to the controller: gRPC over pinned TLS with the admin's certificate.
//!
//! Everything that travels here was signed before it got here, so nothing of the controller's answers is used to
//! decide what is signed.

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::id::NodeId;
use croft_link::LinkError;
use croft_link::tls::{ClientIdentity, ClientKey};
use croft_proto::grpc::admin_client::AdminClient;
use croft_proto::grpc::enrollment_client::EnrollmentClient;
use croft_proto::grpc::freshness_client::FreshnessClient;
use croft_proto::grpc::{ListNodesRequest, MESSAGE_LEN_MAX, NodeSummary, code_of};
use croft_trust::keys::KeySource as _;
use croft_trust::sign::{KeyError, POINT_LEN, Signer, SigningKey};
use tonic::transport::Channel;
use url::Url;

use crate::error::CtlError;
use crate::fleet_dir::{FleetDir, KeyName, read_text};
use crate::limits::{DOCUMENT_LEN_MAX, ID_PREFIX_LEN_MIN};

/// A client with the admin's certificate.
pub type Admin = AdminClient<Channel>;

/// Connects as the admin of the fleet in `dir`.
///
/// # Errors
/// There is no fleet, its key cannot be used, or the controller cannot be reached.
pub async fn connect(dir: &FleetDir) -> Result<Admin, CtlError> {
    let settings = dir.settings()?;
    let identity = ClientIdentity {
        chain_pem: read_text(&dir.chain(), DOCUMENT_LEN_MAX)?,
        key: ClientKey::Pkcs8(admin_key(dir)?.pkcs8().to_vec()),
    };
    let channel = channel(&settings.controller, settings.ca_pin, Some(&identity)).await?;
    Ok(AdminClient::new(channel)
        .max_decoding_message_size(MESSAGE_LEN_MAX)
        .max_encoding_message_size(MESSAGE_LEN_MAX))
}

/// Connects without a certificate, to ask for one.
///
/// # Errors
/// The controller cannot be reached or is not the pinned one.
pub async fn connect_unknown(
    controller: &str,
    ca_pin: Sha256Digest,
) -> Result<EnrollmentClient<Channel>, CtlError> {
    Ok(EnrollmentClient::new(channel(controller, ca_pin, None).await?))
}

/// Connects without a certificate, for a host that holds the freshness key alone.
///
/// # Errors
/// There is no fleet, or the controller cannot be reached or is not the pinned one.
pub async fn connect_freshness(dir: &FleetDir) -> Result<FreshnessClient<Channel>, CtlError> {
    let settings = dir.settings()?;
    Ok(FreshnessClient::new(channel(&settings.controller, settings.ca_pin, None).await?))
}

async fn channel(
    controller: &str,
    ca_pin: Sha256Digest,
    identity: Option<&ClientIdentity>,
) -> Result<Channel, CtlError> {
    let link = |error: LinkError| CtlError::Link {
        controller: controller.to_owned(),
        code: error.code(),
        source: Box::new(error),
    };
    let url = Url::parse(controller).map_err(|_| link(LinkError::Address(controller.to_owned())))?;
    let config = croft_link::tls::client_config(&[ca_pin], identity).map_err(link)?;
    croft_link::channel::grpc(&url, &config).await.map_err(link)
}

/// Opens one of the admin's keys for signing.
///
/// # Errors
/// It is missing, damaged, readable by others, or its passphrase is not known.
pub fn signer(dir: &FleetDir, name: KeyName) -> Result<Box<dyn Signer>, CtlError> {
    dir.keys().signer(name.name()).map_err(unusable("use", dir, name))
}

/// The public point of one of the admin's keys; none if it is not on this machine.
///
/// # Errors
/// What is there is not a key.
pub fn point(dir: &FleetDir, name: KeyName) -> Result<Option<[u8; POINT_LEN]>, CtlError> {
    dir.keys().point(name.name()).map_err(unusable("use", dir, name))
}

/// Reads the key of the connection, whose private bytes TLS needs.
///
/// # Errors
/// As [`signer`].
pub fn admin_key(dir: &FleetDir) -> Result<SigningKey, CtlError> {
    dir.keys().key(KeyName::Admin.name()).map_err(unusable("use", dir, KeyName::Admin))
}

/// A key's failure as an error of ours.
pub fn unusable(operation: &'static str, dir: &FleetDir, name: KeyName) -> impl Fn(KeyError) -> CtlError {
    let path = dir.key(name);
    move |error| CtlError::Key { operation, path: path.clone(), source: Box::new(error) }
}

/// The controller's refusal of `operation` as an error of ours.
pub fn refused(operation: &'static str) -> impl Fn(tonic::Status) -> CtlError {
    move |status| CtlError::Refused {
        operation,
        message: crate::output::clean(status.message()),
        code: code_of(&status).unwrap_or(match status.code() {
            // A broken connection is not an answer; the controller puts its own code beside each refusal.
            tonic::Code::Unavailable
            | tonic::Code::DeadlineExceeded
            | tonic::Code::Cancelled
            | tonic::Code::Unknown => Code::Unreachable,
            tonic::Code::Unauthenticated | tonic::Code::PermissionDenied => Code::Denied,
            tonic::Code::NotFound => Code::NotFound,
            tonic::Code::InvalidArgument => Code::Input,
            tonic::Code::AlreadyExists | tonic::Code::Aborted | tonic::Code::FailedPrecondition => {
                Code::Conflict
            }
            _ => Code::Internal,
        }),
    }
}

/// All nodes.
///
/// # Errors
/// The controller refuses.
pub async fn nodes(admin: &mut Admin) -> Result<Vec<NodeSummary>, CtlError> {
    let answer = admin.list_nodes(ListNodesRequest {}).await.map_err(refused("list nodes"))?;
    Ok(answer.into_inner().nodes)
}

/// The node that `text` stands for: its id, or a beginning of it that no other node shares.
///
/// # Errors
/// There is none, or more than one.
pub async fn resolve_node(admin: &mut Admin, text: &str) -> Result<NodeId, CtlError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let known: Vec<NodeId> =
        nodes(admin).await?.iter().filter_map(|n| NodeId::try_from(n.node_id.as_slice()).ok()).collect();
    choose_node(&known, text)
}

fn choose_node(known: &[NodeId], text: &str) -> Result<NodeId, CtlError> {
    let mut matching = known.iter().filter(|id| id.to_string().starts_with(text));
    if text.len() < ID_PREFIX_LEN_MIN {
        return Err(CtlError::Input {
            what: format!("node {text}"),
            expected: format!("at least {ID_PREFIX_LEN_MIN} digits of a node id"),
        });
    }
    match (matching.next(), matching.next()) {
        (Some(id), None) => Ok(*id),
        (None, _) => Err(CtlError::NotFound {
            what: format!("node {text}"),
            hint: "croftctl get nodes lists them".to_owned(),
        }),
        (Some(_), Some(_)) => Err(CtlError::Input {
            what: format!("node {text}"),
            expected: "more digits: several nodes begin like that".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_named_by_a_beginning_that_is_its_own() {
        let known = [NodeId([0xab; 16]), NodeId([0xac; 16])];
        assert_eq!(choose_node(&known, "abab").expect("one node"), known[0]);
        assert!(matches!(choose_node(&known, "a"), Err(CtlError::Input { .. })));
        assert!(matches!(choose_node(&known, "ffff"), Err(CtlError::NotFound { .. })));
        let twins = [NodeId([0xab; 16]), NodeId([0xab; 16])];
        assert!(matches!(choose_node(&twins, "abab"), Err(CtlError::Input { .. })));
    }

    #[test]
    fn refusals_keep_the_controllers_code() {
        let status = croft_proto::grpc::status(tonic::Code::NotFound, Code::NodeUnknown, "no such node");
        assert_eq!(refused("describe a node")(status).code(), Code::NodeUnknown);
        assert_eq!(refused("list nodes")(tonic::Status::unavailable("gone")).code(), Code::Unreachable);
    }
}
