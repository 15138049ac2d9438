//! Links against a real TLS server on loopback.

mod proxy;
mod server;
mod tinyproxy;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_link::fetch::HttpsClient;
use croft_link::{LinkError, csr, tls};
use server::{Behavior, Server};

fn url(server: &Server) -> url::Url {
    format!("https://127.0.0.1:{}", server.port).parse().expect("an address")
}

async fn get(
    server: &Server,
    pin: Sha256Digest,
    path: &str,
    range: Option<std::ops::Range<u64>>,
) -> Result<bytes::Bytes, LinkError> {
    let config = tls::client_config(&[pin], None).expect("a configuration");
    HttpsClient::new(&url(server), &config).expect("a client").get(path, range, 1000).await
}

#[tokio::test]
async fn a_pinned_server_is_read_whole_and_by_range() {
    let server = Server::start(Behavior::Honest).await;
    assert_eq!(&get(&server, server.ca_pin, "/hello", None).await.expect("whole")[..], b"0123456789");
    assert_eq!(&get(&server, server.ca_pin, "/hello", Some(2..5)).await.expect("range")[..], b"234");
}

#[tokio::test]
async fn p3_another_ca_is_told_as_interception_with_its_issuer() {
    let server = Server::start(Behavior::Honest).await;
    let error = get(&server, Sha256Digest([7; 32]), "/hello", None).await.expect_err("a wrong pin");
    assert_eq!(error.code(), Code::PinMismatch);
    assert!(error.to_string().contains("Test CA"), "{error}");
}

#[tokio::test]
async fn p3_a_ca_shown_but_not_signing_is_refused() {
    // The middlebox appends the pinned CA's public certificate to its own chain.
    let server = Server::start(Behavior::BorrowedCa).await;
    let error = get(&server, server.ca_pin, "/hello", None).await.expect_err("not signed by it");
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_longer_answer_than_agreed_is_cut_off() {
    let server = Server::start(Behavior::Endless).await;
    let error = get(&server, server.ca_pin, "/hello", None).await.expect_err("endless");
    assert!(matches!(error, LinkError::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn an_ignored_range_is_no_answer() {
    let server = Server::start(Behavior::IgnoresRange).await;
    let error = get(&server, server.ca_pin, "/hello", Some(2..5)).await.expect_err("not that range");
    assert!(matches!(error, LinkError::Status { status: 200, .. }), "{error:?}");
}

#[tokio::test]
async fn a_missing_path_and_a_dead_host_are_told_apart() {
    let server = Server::start(Behavior::Honest).await;
    let missing = get(&server, server.ca_pin, "/nothing", None).await.expect_err("missing");
    assert_eq!(missing.code(), Code::BlobMissing);
    let config = tls::client_config(&[server.ca_pin], None).expect("a configuration");
    let nobody =
        HttpsClient::new(&"https://127.0.0.1:1".parse().expect("an address"), &config).expect("a client");
    let error = nobody.get("/hello", None, 10).await.expect_err("nobody listens");
    assert_eq!(error.code(), Code::Unreachable);
    assert!(error.is_retryable());
}

#[test]
fn addresses_with_anything_behind_the_port_are_refused() {
    let config = tls::client_config(&[Sha256Digest([0; 32])], None).expect("a configuration");
    for bad in ["http://a:1", "https://a:1/x", "https://u@a:1", "https://a:1?q"] {
        assert!(HttpsClient::new(&bad.parse().expect("a URL"), &config).is_err(), "{bad}");
    }
}

#[test]
fn a_request_is_made_for_a_p256_key_only() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    assert!(csr::request(&key.serialize_der()).is_ok());
    assert_eq!(csr::request(b"not a key").expect_err("no key").code(), Code::Key);
}
