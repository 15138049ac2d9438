//! A mirror that serves one blob over TLS, and can be told to break off, to lie, or to be gone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use croft_domain::digest::Sha256Digest;
use croft_link::fetch::HttpsClient;
use croft_link::pin::spki_pin;
use croft_link::tls::client_config;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What the mirror does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behavior {
    /// Answers.
    Honest,
    /// Answers this many requests, then breaks off in the middle of every further one.
    CutAfter(usize),
    /// Flips one bit of every answer.
    Flip,
    /// Answers every range with the bytes of the blob's beginning.
    Swap,
    /// Has no such blob.
    Missing,
}

/// A running mirror.
pub struct Mirror {
    pub client: HttpsClient,
    behavior: Arc<Mutex<Behavior>>,
    answered: Arc<AtomicUsize>,
}

impl Mirror {
    pub async fn start(blob: Vec<u8>, behavior: Behavior) -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).expect("a CA");
        let pin: Sha256Digest = spki_pin(ca_certificate.der()).expect("a pin");
        let key = KeyPair::generate().expect("a key");
        let leaf = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
        let leaf = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).expect("a certificate");
        let chain = vec![leaf.der().clone(), ca_certificate.der().clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .expect("a configuration");
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("bound")).parse().expect("an address");
        let client = HttpsClient::new(&url, &client_config(&[pin], None).expect("TLS")).expect("a client");
        let behavior = Arc::new(Mutex::new(behavior));
        let answered = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (blob, shared, count) = (Arc::new(blob), Arc::clone(&behavior), Arc::clone(&answered));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, blob) = (acceptor.clone(), Arc::clone(&blob));
                let (behavior, answered) = (Arc::clone(&shared), Arc::clone(&count));
                tokio::spawn(async move {
                    let _ = serve(stream, acceptor, &blob, &behavior, &answered).await;
                });
            }
        });
        Self { client, behavior, answered }
    }

    pub fn behave(&self, behavior: Behavior) {
        *self.behavior.lock().expect("not poisoned") = behavior;
        self.answered.store(0, Ordering::SeqCst);
    }

    /// Requests answered whole since the last change of behavior.
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::SeqCst)
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    blob: &[u8],
    behavior: &Mutex<Behavior>,
    answered: &AtomicUsize,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut pending = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut pending).await? == 0 {
                return Ok(());
            }
        };
        let request: Vec<u8> = pending.drain(..end).collect();
        let (start, stop) = range_of(&String::from_utf8_lossy(&request));
        let behavior = *behavior.lock().expect("not poisoned");
        let mut body = blob[start..stop].to_vec();
        match behavior {
            Behavior::Missing => {
                stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?;
                stream.flush().await?;
                continue;
            }
            Behavior::Flip => body[0] ^= 1,
            Behavior::Swap => body.copy_from_slice(&blob[..stop - start]),
            Behavior::Honest | Behavior::CutAfter(_) => {}
        }
        let head = format!("HTTP/1.1 206 Partial Content\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await?;
        let is_cut =
            matches!(behavior, Behavior::CutAfter(n) if answered.fetch_add(1, Ordering::SeqCst) >= n);
        if is_cut {
            stream.write_all(&body[..body.len() / 2]).await?;
            return stream.shutdown().await;
        }
        stream.write_all(&body).await?;
        stream.flush().await?;
        if !matches!(behavior, Behavior::CutAfter(_)) {
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

fn range_of(request: &str) -> (usize, usize) {
    let line =
        request.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let line = line.expect("the node asks for ranges only");
    let (first, last) = line.split_once('-').expect("a range");
    (first.parse().expect("a number"), last.trim().parse::<usize>().expect("a number") + 1)
}
