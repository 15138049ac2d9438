//! The listener: which TLS, which certificates, and which service asks for which.

use std::sync::Arc;

use croft_controller::ca::{Authority, Request, Subject};
use croft_controller::clock::now;
use croft_link::tls::{ClientIdentity, ClientKey, client_config};
use croft_proto::grpc::admin_client::AdminClient;
use croft_proto::grpc::node_client::NodeClient;
use croft_proto::grpc::{ChallengeRequest, ListNodesRequest};
use croft_trust::sign::SigningKey;
use rustls::client::Resumption;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fleet::{ClientConfig, Fleet, code};

async fn connect(fleet: &Fleet, config: &ClientConfig) -> tokio_rustls::client::TlsStream<TcpStream> {
    let socket = TcpStream::connect(&fleet.running().endpoint.listen).await.unwrap();
    let name = "127.0.0.1".try_into().unwrap();
    TlsConnector::from(config.clone()).connect(name, socket).await.unwrap()
}

#[tokio::test]
async fn the_key_agreement_is_hybrid_and_the_version_is_1_3() {
    let fleet = Fleet::start_bare().await;
    let config = client_config(&[fleet.pin()], None).unwrap();
    let stream = connect(&fleet, &config).await;
    let (_, session) = stream.get_ref();
    assert_eq!(session.negotiated_key_exchange_group().unwrap().name(), NamedGroup::X25519MLKEM768);
    assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[tokio::test]
async fn tls_1_2_is_refused() {
    let fleet = Fleet::start_bare().await;
    let mut socket = TcpStream::connect(&fleet.running().endpoint.listen).await.unwrap();
    // A ClientHello of TLS 1.2 (RFC 5246, 7.4.1.2): ECDHE-ECDSA with P-256 and nothing newer.
    let extensions = [
        0, 10, 0, 4, 0, 2, 0, 23, // supported_groups: secp256r1
        0, 13, 0, 4, 0, 2, 4, 3, // signature_algorithms: ecdsa_secp256r1_sha256
    ];
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, u8::try_from(extensions.len()).unwrap()]);
    hello.extend(extensions);
    let len = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, len + 4, 1, 0, 0, len];
    record.extend(hello);
    socket.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    // A fatal alert, protocol_version (70) or handshake_failure (40), and the end.
    assert_eq!(answer[0], 21, "{answer:?}");
    assert!(answer[5] == 2 && matches!(answer[6], 40 | 70), "{answer:?}");
}

#[tokio::test]
async fn no_session_is_resumed() {
    let fleet = Fleet::start_bare().await;
    let mut config = (*client_config(&[fleet.pin()], None).unwrap()).clone();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    let config = Arc::new(config);
    for _ in 0..2 {
        let mut stream = connect(&fleet, &config).await;
        // Tickets would come with the first answer.
        let request = b"GET /trust/none HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 404"));
        let (_, session) = stream.get_ref();
        assert_eq!(session.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(session.tls13_tickets_received(), 0);
    }
}

#[tokio::test]
async fn each_service_demands_its_own_kind_of_certificate() {
    let fleet = Fleet::start().await;
    let node = fleet.enroll(1).await;
    let identity =
        ClientIdentity { chain_pem: node.chain.clone(), key: ClientKey::Pkcs8(node.key.pkcs8().to_vec()) };
    let mut as_node = AdminClient::new(fleet.channel(Some(&identity)).await);
    assert_eq!(code(as_node.list_nodes(ListNodesRequest {}).await), "E-DENIED");
    let mut as_nobody = AdminClient::new(fleet.channel(None).await);
    assert_eq!(code(as_nobody.list_nodes(ListNodesRequest {}).await), "E-DENIED");
    let mut as_admin = NodeClient::new(fleet.channel(Some(&fleet.admin_identity())).await);
    assert_eq!(code(as_admin.challenge(ChallengeRequest::default()).await), "E-DENIED");
    let mut as_nobody = NodeClient::new(fleet.channel(None).await);
    assert_eq!(code(as_nobody.challenge(ChallengeRequest::default()).await), "E-DENIED");
}

#[tokio::test]
async fn a_certificate_of_another_ca_or_over_another_key_opens_nothing() {
    let fleet = Fleet::start().await;
    let node = fleet.enroll(1).await;
    let thief = SigningKey::generate().unwrap();
    let request = Request::parse(&croft_link::csr::request(thief.pkcs8()).unwrap()).unwrap();
    let subject = Subject::Node(node.id);
    // Another CA that calls itself the same fleet: the handshake fails, so no call is ever answered.
    let (pem, key) = Authority::create("Acme", now()).unwrap();
    let theirs = Authority::open(&pem, &key, fleet.bootstrap.fleet.clone()).unwrap();
    let chain = theirs.certify(&request, &subject, 3600, now()).unwrap();
    let identity = ClientIdentity { chain_pem: chain, key: ClientKey::Pkcs8(thief.pkcs8().to_vec()) };
    let config = client_config(&[fleet.pin()], Some(&identity)).unwrap();
    if let Ok(channel) = croft_link::channel::grpc(&crate::fleet::url(fleet.running()), &config).await {
        assert!(NodeClient::new(channel).challenge(ChallengeRequest::default()).await.is_err());
    }
    // Our own CA over another key, as only a stolen CA key could make: the first-seen key is immutable.
    let authority = fleet.running().app.authority.clone();
    let chain = authority.certify(&request, &subject, 3600, now()).unwrap();
    let mut client = fleet.node_client(&thief, &chain).await;
    assert_eq!(code(client.challenge(ChallengeRequest::default()).await), "E-DENIED");
    let admin = Subject::Admin("root".parse().unwrap());
    let chain = authority.certify(&request, &admin, 3600, now()).unwrap();
    let identity = ClientIdentity { chain_pem: chain, key: ClientKey::Pkcs8(thief.pkcs8().to_vec()) };
    let mut client = AdminClient::new(fleet.channel(Some(&identity)).await);
    assert_eq!(code(client.list_nodes(ListNodesRequest {}).await), "E-DENIED");
}
