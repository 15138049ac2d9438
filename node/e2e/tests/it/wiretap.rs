//! P6 on the wire: everything between node and controller, decrypted, holds nothing of what was asked and answered.
//!
//! The relay in between can read along only because the test holds what no network has: the controller's CA key, by which
//! it passes for the controller, and the node's own key, by which it passes for the node. Nothing of the product is
//! switched off for it.

use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use croft_domain::digest::Sha256Digest;
use croft_e2e::api::Api;
use croft_e2e::wait;
use croft_link::tls::{ClientIdentity, ClientKey, client_config};
use croft_trust::invite_line;
use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, SanType};
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::Village;
use crate::privacy::{MARKER, ask_until_refused, disguises, question};

/// One direction of one connection, as it was before it was encrypted.
type Heard = Arc<Mutex<Vec<u8>>>;

/// Everything that relaying a connection takes.
struct Line {
    acceptor: TlsAcceptor,
    controller: String,
    pin: Sha256Digest,
    node: PathBuf,
    heard: Mutex<Vec<Heard>>,
}

/// A relay to the controller that reads along.
struct Wiretap {
    port: u16,
    line: Arc<Line>,
}

/// What passes for the controller: a certificate by its own CA.
fn acceptor(keys: &Path) -> TlsAcceptor {
    let ca = CertificateDer::from_pem_file(keys.join("ca.pem")).expect("the CA's certificate");
    let ca_key = std::fs::read(keys.join("ca.pk8")).expect("the CA's key");
    let ca_key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(ca_key));
    let ca_key = KeyPair::from_der_and_sign_algo(&ca_key, &PKCS_ECDSA_P256_SHA256).expect("a key");
    let issuer = Issuer::from_ca_cert_der(&ca, ca_key).expect("an issuer");
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().expect("an address"))];
    params.use_authority_key_identifier_extension = true;
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(ca.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .expect("a verifier");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![leaf.der().clone(), ca], key)
        .expect("an identity");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

impl Wiretap {
    /// To this village's controller, with this pin of its CA.
    fn on(village: &Village, pin: Sha256Digest) -> Self {
        let controller = village.fleet.url().strip_prefix("https://").expect("an address").to_owned();
        let line = Arc::new(Line {
            acceptor: acceptor(&village.fleet.controller_state().join("keys")),
            controller,
            pin,
            node: village.workstation.state().join("identity"),
            heard: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let relayed = Arc::clone(&line);
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            runtime.block_on(async move {
                listener.set_nonblocking(true).expect("an option");
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                while let Ok((near, _)) = listener.accept().await {
                    let line = Arc::clone(&relayed);
                    tokio::spawn(async move { line.relay(near).await });
                }
            });
        });
        Self { port, line }
    }

    /// Every direction of every connection so far.
    fn heard(&self) -> Vec<Vec<u8>> {
        let heard = self.line.heard.lock().expect("no panic");
        heard.iter().map(|heard| heard.lock().expect("no panic").clone()).collect()
    }

    fn has(&self, needle: &[u8]) -> bool {
        self.heard().iter().any(|heard| heard.windows(needle.len()).any(|window| window == needle))
    }
}

impl Line {
    async fn relay(&self, near: TcpStream) -> io::Result<()> {
        let near = self.acceptor.accept(near).await?;
        let (_, session) = near.get_ref();
        let is_node = session.peer_certificates().is_some();
        let identity = is_node.then(|| ClientIdentity {
            chain_pem: std::fs::read_to_string(self.node.join("chain.pem")).expect("the node's certificate"),
            key: ClientKey::Pkcs8(std::fs::read(self.node.join("node.pk8")).expect("the node's key")),
        });
        let mut config = (*client_config(&[self.pin], identity.as_ref()).map_err(io::Error::other)?).clone();
        config.alpn_protocols = session.alpn_protocol().map(<[u8]>::to_vec).into_iter().collect();
        let name = ServerName::try_from("127.0.0.1").expect("a name");
        let far = TcpStream::connect(&self.controller).await?;
        let far = TlsConnector::from(Arc::new(config)).connect(name, far).await?;
        let ((near_out, near_in), (far_out, far_in)) = (tokio::io::split(near), tokio::io::split(far));
        let [up, down] = [(); 2].map(|()| Heard::default());
        self.heard.lock().expect("no panic").extend([Arc::clone(&up), Arc::clone(&down)]);
        tokio::try_join!(pump(near_out, far_in, &up), pump(far_out, near_in, &down)).map(drop)
    }
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    heard: &Heard,
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let len = from.read(&mut buffer).await?;
        if len == 0 {
            return to.shutdown().await;
        }
        heard.lock().expect("no panic").extend_from_slice(&buffer[..len]);
        to.write_all(&buffer[..len]).await?;
        to.flush().await?;
    }
}

/// The marker as headers of HTTP/2 hold it, Huffman-coded (RFC 7541, appendix B) from each bit of a byte on, without the
/// bytes at the edges that neighbors have a part in.
fn huffman(marker: &str) -> Vec<Vec<u8>> {
    let code = |letter| match letter {
        'a' => "00011",
        'b' => "100011",
        'i' => "00110",
        'n' => "101010",
        'q' => "1110110",
        'r' => "101100",
        'u' => "101101",
        'x' => "1111001",
        'z' => "1111011",
        other => panic!("no code for {other}"),
    };
    let bits: String = marker.chars().map(code).collect();
    let byte = |bits: &[u8]| bits.iter().fold(0_u8, |byte, bit| byte << 1 | u8::from(*bit == b'1'));
    (0..8).map(|phase| bits.as_bytes()[phase..].chunks_exact(8).map(byte).collect()).collect()
}

/// Through success, refusals, tools, vectors, and a worker that dies in the middle.
fn ask_in_every_way(village: &Village, api: &Api) {
    assert_eq!(api.ask(&question()).expect("an answer").status, 200);
    api.ask_streaming(&question()).expect("a stream");
    let user = json!({"role": "user", "content": question()});
    for (path, body) in [
        ("/v1/completions", json!({"model": "chat", "prompt": MARKER, "suffix": MARKER, "max_tokens": 8})),
        (
            "/v1/chat/completions",
            json!({"model": "chat", "max_tokens": 8, "messages": [user],
            "tools": [{"type": "function", "function": {"name": MARKER, "description": MARKER}}]}),
        ),
        ("/v1/embeddings", json!({"model": "embed", "input": MARKER})),
        ("/v1/chat/completions", json!({"model": MARKER, "messages": [user]})),
        ("/v1/chat/completions", json!({"model": "chat", "messages": [{"role": MARKER, "content": MARKER}]})),
        ("/v1/completions", json!({"model": "chat", "prompt": MARKER.repeat(20_000)})),
        (
            "/v1/chat/completions",
            json!({"model": "chat", "messages": [
            {"role": "user", "content": format!("{MARKER} pays with 4111 1111 1111 1111")}]}),
        ),
    ] {
        api.post(path, &body).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let station = &village.workstation;
    let pid = station.pid_of("worker").expect("a pid");
    let refused = std::thread::scope(|threads| {
        let asking = threads.spawn(|| ask_until_refused(api));
        // Not to synchronize: the crash is to come while something is being answered, whatever it is.
        wait::pause(Duration::from_millis(300));
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a pid");
        kill_process(raw, Signal::ABORT).expect("a signal sent");
        asking.join().expect("a thread")
    });
    assert_eq!(refused.body["error"]["code"], "E-WORKER-CRASHED", "{refused:?}");
    station.wait_until_serving(60).expect("serving again");
}

#[test]
fn p6_what_was_asked_is_not_on_the_wire_to_the_controller() {
    let baseline = format!(
        "{}data_classes:\n  payment-cards: block\ncollect: [usage-classes]\n",
        croft_e2e::controller::REPORTING_BASELINE
    );
    let village = Village::with(&baseline, "trace");
    let mut invite = invite_line::decode(&village.fleet.invite(&[]).expect("an invite")).expect("an invite");
    let tap = Wiretap::on(&village, invite.ca_pin);
    invite.controller = format!("https://127.0.0.1:{}", tap.port);
    let station = &village.workstation;
    station.enroll(&invite_line::encode(&invite)).expect("enrollment");
    station.wait_until_serving(60).expect("serving");
    let api = Api::new(&station.gateway(), Some(&station.api_key().expect("a key")));
    ask_in_every_way(&village, &api);
    // Counters of all this have left: evidence that was sent afterwards, with what the guard found.
    wait::until("what was counted is told", 60, || {
        station.croft(&["consent", "--revoke"]).map_err(|e| e.to_string())?;
        if tap.has(br#""kind":"payment-cards""#) { Ok(()) } else { Err("nothing of it".to_owned()) }
    })
    .expect("evidence");
    assert!(tap.has(b"api-binding") && tap.has(br#""prompt_tokens""#), "evidence is heard in plain");
    let needles: Vec<Vec<u8>> = disguises(MARKER).into_iter().chain(huffman(MARKER)).collect();
    for (index, needle) in needles.iter().enumerate() {
        assert!(!tap.has(needle), "disguise {index} of the marker was sent");
    }
    assert!(!tap.has(b"4111"), "a number that was refused was sent");
    // And it would have been heard: here a person sends it on purpose.
    let why = format!("because of {MARKER}");
    station.croft(&["request", "https://models.test/m", "--why", &why]).expect("asked");
    assert!(tap.has(MARKER.as_bytes()), "the wiretap is deaf");
}
