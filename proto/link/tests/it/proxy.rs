//! Out through proxies: Debian's tinyproxy with credentials and without, and one that reads along.

use croft_domain::code::Code;
use croft_link::LinkError;
use croft_link::fetch::HttpsClient;
use croft_link::proxy::{FirstKeyShare, Proxy};
use croft_link::tls;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::server::{Behavior, Server};
use crate::tinyproxy::Tinyproxy;

/// Opens a tunnel to `port` and waits until the proxy ends it for being idle.
async fn forgets_an_idle_connection(tinyproxy: &Tinyproxy, port: u16) {
    let mut tunnel = TcpStream::connect(("127.0.0.1", tinyproxy.port)).await.expect("a connection");
    // jane:s3cret
    let head = format!(
        "CONNECT 127.0.0.1:{port} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\
             Proxy-Authorization: Basic amFuZTpzM2NyZXQ=\r\n\r\n"
    );
    tunnel.write_all(head.as_bytes()).await.expect("asked");
    let mut answer = Vec::new();
    let end = tunnel.read_to_end(&mut answer);
    tokio::time::timeout(std::time::Duration::from_secs(30), end).await.expect("ended").expect("read");
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
}

fn proxy(tinyproxy: &Tinyproxy, credentials: &str) -> Proxy {
    Proxy::parse(&format!("http://{credentials}127.0.0.1:{}", tinyproxy.port)).expect("a proxy")
}

fn client(server: &Server, proxy: Proxy) -> HttpsClient {
    let config = tls::client_config(&[server.ca_pin], None).expect("a configuration");
    let url = format!("https://127.0.0.1:{}", server.port).parse().expect("an address");
    HttpsClient::through(&url, &config, Some(proxy)).expect("a client")
}

async fn hello(client: &HttpsClient) -> Result<bytes::Bytes, LinkError> {
    client.get("/hello", None, 1000).await
}

#[tokio::test]
async fn a_proxy_with_credentials_is_gone_through_and_forgetting_idle_connections_costs_nothing() {
    let server = Server::start(Behavior::Honest).await;
    let tinyproxy = Tinyproxy::start(1);
    let client = client(&server, proxy(&tinyproxy, "jane:s3cret@"));
    assert_eq!(&hello(&client).await.expect("through the proxy")[..], b"0123456789");
    // A connection that went idle later than the client's: once the proxy forgot this one, it forgot both.
    forgets_an_idle_connection(&tinyproxy, server.port).await;
    assert_eq!(&hello(&client).await.expect("through the proxy again")[..], b"0123456789");
}

#[tokio::test]
async fn a_proxy_that_restarts_is_an_error_that_passes_and_the_client_goes_on() {
    let server = Server::start(Behavior::Honest).await;
    let tinyproxy = Tinyproxy::start(60);
    let client = client(&server, proxy(&tinyproxy, "jane:s3cret@"));
    assert_eq!(&hello(&client).await.expect("through the proxy")[..], b"0123456789");
    let port = tinyproxy.port;
    drop(tinyproxy);
    let away = hello(&client).await.expect_err("nobody is there");
    assert!(away.is_retryable(), "{away:?}");
    let _again = Tinyproxy::start_at(port, 60);
    assert_eq!(&hello(&client).await.expect("through the proxy again")[..], b"0123456789");
}

#[tokio::test]
async fn wrong_or_missing_credentials_are_told_as_the_proxys_refusal() {
    let server = Server::start(Behavior::Honest).await;
    let tinyproxy = Tinyproxy::start(60);
    for credentials in ["", "jane:wrong@"] {
        let refused = hello(&client(&server, proxy(&tinyproxy, credentials))).await.expect_err("refused");
        assert_eq!(refused.code(), Code::ProxyRefused, "{refused:?}");
        let text = refused.to_string();
        assert!(text.contains(&tinyproxy.port.to_string()) && !text.contains("wrong"), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_named() {
    let server = Server::start(Behavior::Honest).await;
    let nobody = Proxy::parse("http://127.0.0.1:1").expect("a proxy");
    let refused = hello(&client(&server, nobody)).await.expect_err("refused");
    assert!(refused.code() == Code::ProxyRefused && refused.is_retryable(), "{refused:?}");
}

/// A proxy that leads every connection to a server of its own, with a certificate of its own CA.
async fn inspecting() -> Proxy {
    let inspector = Server::start(Behavior::Honest).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(client.read_u8().await.expect("a request"));
            }
            assert!(head.starts_with(b"CONNECT 127.0.0.1:"));
            client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.expect("an answer");
            let mut server = TcpStream::connect(("127.0.0.1", inspector.port)).await.expect("the inspector");
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut client, &mut server).await });
        }
    });
    Proxy::parse(&format!("http://127.0.0.1:{port}")).expect("a proxy")
}

#[tokio::test]
async fn p3_tls_inspection_is_told_with_issuer_pin_and_whom_to_ask() {
    let server = Server::start(Behavior::Honest).await;
    let refused = hello(&client(&server, inspecting().await)).await.expect_err("read along");
    assert_eq!(refused.code(), Code::PinMismatch, "{refused:?}");
    let text = refused.to_string();
    for part in ["Test CA", &server.ca_pin.to_string(), "ask IT to exempt 127.0.0.1"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Length of the first message of a handshake.
async fn first_message_len(first: FirstKeyShare) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://{}", listener.local_addr().expect("an address")).parse().expect("an address");
    let pin = croft_domain::digest::Sha256Digest([0; 32]);
    let config = tls::client_config_with(&[pin], None, first).expect("a configuration");
    let fetching = tokio::spawn(async move {
        let client = HttpsClient::through(&url, &config, None).expect("a client");
        client.get("/hello", None, 10).await
    });
    let (mut tcp, _) = listener.accept().await.expect("a connection");
    let mut record = [0; 5];
    tcp.read_exact(&mut record).await.expect("a record");
    fetching.abort();
    u16::from_be_bytes([record[3], record[4]])
}

#[tokio::test]
async fn a_small_first_key_share_fits_a_packet() {
    assert!(first_message_len(FirstKeyShare::PostQuantum).await > 1_200);
    assert!(first_message_len(FirstKeyShare::Small).await < 700);
}
