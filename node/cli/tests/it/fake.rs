//! A daemon that answers from memory over a real Unix socket, and a gateway that streams over real loopback HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use croft_domain::code::Code;
use croft_proto::grpc::local_server::{Local, LocalServer};
use croft_proto::grpc::*;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// What the daemon was asked to change.
pub type Asked = Arc<Mutex<Vec<String>>>;

#[derive(Clone)]
pub struct Daemon {
    pub asked: Asked,
    pub gateway: String,
}

type Answer<T> = Result<Response<T>, Status>;

impl Daemon {
    fn note(&self, what: String) {
        self.asked.lock().expect("no test panics while holding it").push(what);
    }
}

#[tonic::async_trait]
impl Local for Daemon {
    async fn status(&self, _: Request<LocalStatusRequest>) -> Answer<LocalStatusResponse> {
        let serves = !self.gateway.is_empty();
        Ok(Response::new(LocalStatusResponse {
            enrolled: serves,
            serving: if serves { "serving" } else { "not-serving" }.to_owned(),
            serving_code: if serves { "" } else { "E-NOT-ENROLLED" }.to_owned(),
            serving_reason: if serves { "" } else { "this machine belongs to no fleet" }.to_owned(),
            gateway: self.gateway.clone(),
            mode: "user".to_owned(),
            version: "0.1.0".to_owned(),
            ..LocalStatusResponse::default()
        }))
    }

    async fn preview_enrollment(
        &self,
        request: Request<PreviewEnrollmentRequest>,
    ) -> Answer<PreviewEnrollmentResponse> {
        let PreviewEnrollmentRequest { invite, ownership } = request.into_inner();
        if invite == "croft1.old" {
            return Err(status(tonic::Code::FailedPrecondition, Code::InviteExpired, "the invite ended"));
        }
        Ok(Response::new(PreviewEnrollmentResponse {
            controller: "https://croft.acme.test:7443".to_owned(),
            fleet_name: "acme".to_owned(),
            group: "team-a".to_owned(),
            tier: 1,
            collected: vec!["disk encryption: required".to_owned()],
            first_message: format!("{{\"ownership\":\"{ownership}\"}}").into_bytes(),
            ..PreviewEnrollmentResponse::default()
        }))
    }

    async fn enroll_node(&self, request: Request<EnrollNodeRequest>) -> Answer<EnrollNodeResponse> {
        let EnrollNodeRequest { invite, ownership, consent } = request.into_inner();
        self.note(format!("enroll {invite} {ownership} {consent}"));
        Ok(Response::new(EnrollNodeResponse { node_id: "00ff".to_owned(), group: "team-a".to_owned() }))
    }

    async fn export_evidence(&self, _: Request<ExportEvidenceRequest>) -> Answer<ExportEvidenceResponse> {
        Ok(Response::new(ExportEvidenceResponse { content: b"{}".to_vec() }))
    }

    async fn import_lease(&self, request: Request<ImportLeaseRequest>) -> Answer<ImportLeaseResponse> {
        self.note(format!("import {}", request.into_inner().content.len()));
        Ok(Response::new(ImportLeaseResponse { until: 4_000_000_000 }))
    }

    async fn consent(&self, request: Request<ConsentRequest>) -> Answer<ConsentResponse> {
        let answer = request.get_ref().answer();
        let state = match answer {
            ConsentAnswer::Give => "collected",
            ConsentAnswer::Unspecified | ConsentAnswer::Revoke => "waiting",
        };
        self.note(format!("consent {}", answer.as_str_name()));
        let item = CollectedItem {
            name: "census-models".to_owned(),
            meaning: "models of other tools".to_owned(),
            state: state.to_owned(),
        };
        Ok(Response::new(ConsentResponse { baseline: "laptop@4".to_owned(), items: vec![item] }))
    }

    async fn accept_policy(&self, request: Request<AcceptPolicyRequest>) -> Answer<AcceptPolicyResponse> {
        let AcceptPolicyRequest { accept_sha256 } = request.into_inner();
        self.note(format!("accept {accept_sha256}"));
        Ok(Response::new(AcceptPolicyResponse {
            policy: "acceptable-use@2".to_owned(),
            text: "# Be kind\n".to_owned(),
            sha256: "sha256:00ff".to_owned(),
            accepted_at: 0,
        }))
    }

    async fn why(&self, _: Request<WhyRequest>) -> Answer<WhyResponse> {
        Ok(Response::new(WhyResponse {
            serving_code: "E-NOT-ENROLLED".to_owned(),
            serving_reason: "no fleet".to_owned(),
            ..WhyResponse::default()
        }))
    }

    async fn privacy(&self, _: Request<PrivacyRequest>) -> Answer<PrivacyResponse> {
        let content = b"{\"os\":\"linux\"}".to_vec();
        let sent = SentMessage { at: 1, kind: "enroll".to_owned(), reason: "you agreed".to_owned(), content };
        Ok(Response::new(PrivacyResponse { sent: vec![sent] }))
    }

    async fn models(&self, _: Request<ModelsRequest>) -> Answer<ModelsResponse> {
        let wanted = |bundle: &str, state: &str| LocalModel {
            bundle: bundle.to_owned(),
            state: state.to_owned(),
            ..LocalModel::default()
        };
        let models = vec![wanted("coder@3", "fetching"), wanted("small@1", "loaded")];
        Ok(Response::new(ModelsResponse { models }))
    }

    async fn catalog(&self, _: Request<CatalogRequest>) -> Answer<CatalogResponse> {
        Ok(Response::new(CatalogResponse { catalog_json: b"{\"files\":{}}".to_vec() }))
    }

    async fn adopt(&self, request: Request<AdoptRequest>) -> Answer<AdoptResponse> {
        let AdoptRequest { sha256, index, content } = request.into_inner();
        self.note(format!("adopt {} {index} {}", sha256.len(), String::from_utf8_lossy(&content)));
        // Two chunks of four bytes are missing, in order.
        let next = if content.is_empty() { Some(0) } else { (index == 0).then_some(1) };
        Ok(Response::new(AdoptResponse { chunk_len_bytes: 4, next, left: next.map_or(0, |next| 2 - next) }))
    }

    async fn measure_model(&self, request: Request<MeasureModelRequest>) -> Answer<MeasureModelResponse> {
        self.note(format!("measure {}", request.into_inner().name));
        let variants = vec!["q4_k_m".to_owned(), "q4_0".to_owned()];
        Ok(Response::new(MeasureModelResponse { variants }))
    }

    async fn ask_model(&self, request: Request<AskModelRequest>) -> Answer<AskModelResponse> {
        let AskModelRequest { source, reason } = request.into_inner();
        self.note(format!("model {source} {reason}"));
        Ok(Response::new(AskModelResponse { source }))
    }

    async fn list_asked(&self, _: Request<ListAskedRequest>) -> Answer<ListAskedResponse> {
        let (source, note) = ("https://x.test/m".to_owned(), "too large for these machines".to_owned());
        let asked = AskedLine { source, at: 86_400, outcome: "denied".to_owned(), note, answered_at: 90_000 };
        Ok(Response::new(ListAskedResponse { asked: vec![asked] }))
    }

    async fn set_paused(&self, request: Request<SetPausedRequest>) -> Answer<SetPausedResponse> {
        self.note(format!("paused {}", request.into_inner().paused));
        Ok(Response::new(SetPausedResponse {}))
    }

    async fn api_key(&self, request: Request<ApiKeyRequest>) -> Answer<ApiKeyResponse> {
        let key = if request.into_inner().rotate { "new-key" } else { "test-key" }.to_owned();
        Ok(Response::new(ApiKeyResponse { key }))
    }

    async fn leave_fleet(&self, _: Request<LeaveFleetRequest>) -> Answer<LeaveFleetResponse> {
        self.note("leave".to_owned());
        let erased = vec!["/s/identity".to_owned()];
        Ok(Response::new(LeaveFleetResponse { controller_told: true, erased, receipt: "r1".to_owned() }))
    }

    async fn import_archive(
        &self,
        request: Request<tonic::Streaming<ImportArchiveRequest>>,
    ) -> Answer<ImportArchiveResponse> {
        let mut parts = request.into_inner();
        let mut len = 0;
        while let Some(part) = parts.message().await? {
            len += part.data.len();
            if part.data.starts_with(b"bad") {
                let text = "archive at byte 0: a header whose checksum holds";
                return Err(status(tonic::Code::FailedPrecondition, Code::ArchiveRefused, text));
            }
        }
        self.note(format!("import {len}"));
        let bundle = |bundle: &str, outcome: &str, code: &str, detail: &str| ImportedBundle {
            bundle: bundle.to_owned(),
            outcome: outcome.to_owned(),
            code: code.to_owned(),
            detail: detail.to_owned(),
        };
        Ok(Response::new(ImportArchiveResponse {
            bundles: vec![
                bundle("starter@2", "installed", "", ""),
                bundle("other@1", "left-out", "E-UNAPPROVED", "not for this machine's group"),
            ],
            recalls_new: 1,
            metadata_expires_at: 1_800_000_000,
        }))
    }

    async fn attest(&self, _: Request<LocalAttestRequest>) -> Answer<LocalAttestResponse> {
        Ok(Response::new(LocalAttestResponse::default()))
    }
}

/// A workstation: folders, and the daemon if it runs.
pub struct Workstation {
    pub folder: tempfile::TempDir,
    pub asked: Asked,
    _runtime: Option<tokio::runtime::Runtime>,
}

impl Workstation {
    /// Without a daemon.
    pub fn silent() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { folder, asked: Asked::default(), _runtime: None }
    }

    /// With a daemon whose gateway is at `gateway`; empty if it does not serve.
    pub fn with_daemon(gateway: &str) -> Self {
        Self::with_daemon_at("run/croft.sock", gateway)
    }

    /// With a daemon whose socket is elsewhere.
    pub fn with_daemon_at(socket: &str, gateway: &str) -> Self {
        let mut station = Self::silent();
        std::fs::create_dir_all(station.folder.path().join("run")).expect("a folder");
        let socket = station.folder.path().join(socket);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let daemon = Daemon { asked: station.asked.clone(), gateway: gateway.to_owned() };
        // Bound before this returns, so that no test has to wait for it.
        let listener = runtime.block_on(async { tokio::net::UnixListener::bind(&socket) }).expect("binds");
        runtime.spawn(async move {
            tonic::transport::Server::builder()
                .add_service(LocalServer::new(daemon))
                .serve_with_incoming(UnixListenerStream::new(listener))
                .await
        });
        station._runtime = Some(runtime);
        station
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs `croft` here, stdin closed or given.
    pub fn croft(&self, arguments: &[&str], stdin: &str) -> Output {
        self.command(arguments).write_stdin(stdin).output().expect("runs")
    }

    pub fn command(&self, arguments: &[&str]) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_croft"));
        command
            .env_clear()
            .env("HOME", "/nonexistent/home")
            .env("CROFT_LIBEXEC", self.path().join("libexec"))
            .env("CROFT_STATE", self.path())
            .args(arguments);
        command
    }

    /// Puts a `croft-node` there that is this shell script.
    pub fn install_node(&self, script: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.path().join("libexec");
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("croft-node");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
    }

    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no test panics while holding it").clone()
    }
}

pub fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A gateway that answers one request with `answer`; gives its address, and the request once it came.
pub fn gateway(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let serve = move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut reader = BufReader::new(stream.try_clone().expect("a clone"));
        let mut request = String::new();
        let mut len = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                len = value.trim().parse().expect("a number");
            }
            request.push_str(&line);
            if line.trim().is_empty() {
                break;
            }
        }
        let mut body = vec![0; len];
        reader.read_exact(&mut body).expect("a body");
        stream.write_all(answer.as_bytes()).expect("written");
        request + &String::from_utf8_lossy(&body)
    };
    (address, std::thread::spawn(serve))
}
