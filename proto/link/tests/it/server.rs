//! A small TLS server with a CA of its own, honest or not.

use std::sync::Arc;

use bytes::Bytes;
use croft_domain::digest::Sha256Digest;
use croft_link::pin::spki_pin;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Behavior {
    Honest,
    BorrowedCa,
    Endless,
    IgnoresRange,
}

pub struct Server {
    pub port: u16,
    pub ca_pin: Sha256Digest,
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

impl Server {
    pub async fn start(behavior: Behavior) -> Self {
        let pinned = authority("Test CA");
        let other = authority("Middlebox CA");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let signer = if behavior == Behavior::BorrowedCa { &other } else { &pinned };
        let leaf = params.signed_by(&key, signer).expect("a certificate");
        let ca_pin = spki_pin(pinned.der()).expect("a pin");
        let chain = vec![leaf.der().clone(), pinned.der().clone()];
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a usable certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(tls) = acceptor.accept(tcp).await {
                        let service = service_fn(move |request| async move { answer(behavior, &request) });
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(tls), service)
                            .await;
                    }
                });
            }
        });
        Self { port, ca_pin }
    }
}

fn answer(
    behavior: Behavior,
    request: &Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let content = b"0123456789";
    let range = request.headers().get("range").and_then(|v| v.to_str().ok());
    match (request.uri().path(), range) {
        ("/hello", _) if behavior == Behavior::Endless => {
            Response::builder().body(Full::from(vec![b'x'; 5000]))
        }
        ("/hello", Some("bytes=2-4")) if behavior != Behavior::IgnoresRange => {
            Response::builder().status(206).body(Full::from(&content[2..5]))
        }
        ("/hello", _) => Response::builder().body(Full::from(&content[..])),
        _ => Response::builder().status(404).body(Full::default()),
    }
}
