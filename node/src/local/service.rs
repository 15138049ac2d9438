//! Each question of the local socket: who asks, what is done, how it is answered.

use std::sync::Arc;

use croft_domain::code::Code;
use croft_domain::digest::Sha256Digest;
use croft_domain::evidence::Ownership;
use croft_domain::id::BundleRef;
use croft_proto::grpc::local_server::Local;
use croft_proto::grpc::{
    AcceptPolicyRequest, AcceptPolicyResponse, AdoptRequest, AdoptResponse, ApiKeyRequest, ApiKeyResponse,
    AskModelRequest, AskModelResponse, CatalogRequest, CatalogResponse, ConsentAnswer, ConsentRequest,
    ConsentResponse, EnrollNodeRequest, EnrollNodeResponse, ExportEvidenceRequest, ExportEvidenceResponse,
    ImportArchiveRequest, ImportArchiveResponse, ImportLeaseRequest, ImportLeaseResponse, LeaveFleetRequest,
    LeaveFleetResponse, ListAskedRequest, ListAskedResponse, LocalAttestRequest, LocalAttestResponse,
    LocalStatusRequest, LocalStatusResponse, MeasureModelRequest, MeasureModelResponse, ModelsRequest,
    ModelsResponse, PreviewEnrollmentRequest, PreviewEnrollmentResponse, PrivacyRequest, PrivacyResponse,
    SentMessage, SetPausedRequest, SetPausedResponse, WhyRequest, WhyResponse, status,
};
use croft_trust::invite_line;
use tonic::transport::server::UdsConnectInfo;
use tonic::{Request, Response, Status, Streaming};

use super::parts::Parts;
use super::{Eyes, answers, models};
use crate::agent::acceptance;
use crate::agent::airgap;
use crate::agent::catalog::{assigned_file, catalog};
use crate::agent::consent::{self, Answer};
use crate::agent::enroll::{Consent, application, collected, enroll};
use crate::agent::import::import;
use crate::agent::leave::leave;
use crate::agent::memory::Shared;
use crate::agent::request;
use crate::bundles::adopt;
use crate::clock;
use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{ATTEST_GAP_S, CALL_TIMEOUT};
use crate::state::api_key::{self, Rotate};

/// The service.
pub struct Service {
    shared: Arc<Shared>,
    config: Config,
    eyes: Eyes,
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Right {
    /// Look.
    Look,
    /// Change something.
    Act,
}

impl Service {
    /// A service over what the daemon knows.
    #[must_use]
    pub const fn new(shared: Arc<Shared>, config: Config, eyes: Eyes) -> Self {
        Self { shared, config, eyes }
    }

    /// Who asks. Looking is for the accounts of this machine's enrollment; before there is one, and for acting, for the
    /// daemon's own account, root, and those same accounts.
    fn caller<T>(&self, request: &Request<T>, right: Right) -> Result<u32, Status> {
        let info = request.extensions().get::<UdsConnectInfo>();
        let uid = info.and_then(|info| info.peer_cred).map(|cred| cred.uid());
        let denied = || {
            status(tonic::Code::PermissionDenied, Code::CallerUnknown, "this account may not ask the daemon")
        };
        let uid = uid.ok_or_else(denied)?;
        let own = rustix::process::getuid().as_raw();
        let memory = self.shared.memory();
        let enrolled = memory.identity.as_ref().is_some_and(|id| id.enrollment.uids.contains(&uid));
        let is_configured = self.config.gateway.uids.contains(&uid);
        // A machine that belongs to nobody yet may be looked at by its people.
        let is_open = right == Right::Look && memory.identity.is_none();
        if uid == 0 || uid == own || enrolled || is_configured || is_open { Ok(uid) } else { Err(denied()) }
    }
}

fn refuse(failure: &Failure) -> Status {
    let kind = match failure.code() {
        Code::Unreachable => tonic::Code::Unavailable,
        Code::InviteMalformed | Code::Input => tonic::Code::InvalidArgument,
        Code::Internal => tonic::Code::Internal,
        _ => tonic::Code::FailedPrecondition,
    };
    status(kind, failure.code(), failure.message())
}

fn refused(e: &(impl std::error::Error + 'static), code: Code) -> Status {
    refuse(&Failure::caused(code, e))
}

fn ownership(text: &str) -> Result<Ownership, Status> {
    match text {
        "personal" | "" => Ok(Ownership::Personal),
        "dev-budget" => Ok(Ownership::DevBudget),
        _ => Err(refuse(&Failure::new(Code::Input, "ownership: expected personal or dev-budget"))),
    }
}

#[tonic::async_trait]
impl Local for Service {
    async fn status(
        &self,
        request: Request<LocalStatusRequest>,
    ) -> Result<Response<LocalStatusResponse>, Status> {
        self.caller(&request, Right::Look)?;
        let memory = self.shared.memory();
        Ok(Response::new(answers::status(&memory, &self.config, &self.shared.paths)))
    }

    async fn preview_enrollment(
        &self,
        request: Request<PreviewEnrollmentRequest>,
    ) -> Result<Response<PreviewEnrollmentResponse>, Status> {
        self.caller(&request, Right::Look)?;
        let PreviewEnrollmentRequest { invite, ownership: whose } = request.into_inner();
        let ownership = ownership(&whose)?;
        let invite = invite_line::decode(&invite).map_err(|e| refused(&e, e.code()))?;
        let application = application(ownership, self.shared.paths.mode, invite.fleet);
        let first_message = application.masked(
            &invite,
            "(made when you agree: a request for a fresh key, no name in it)",
            None,
        );
        Ok(Response::new(PreviewEnrollmentResponse {
            controller: invite.controller,
            fleet_name: invite.fleet_name,
            group: invite.group.to_string(),
            tier: u32::from(invite.tier),
            expires_at: invite.expires_at.0,
            ca_pin: invite.ca_pin.to_string(),
            collected: collected(ownership, self.config.identity.key),
            first_message,
        }))
    }

    async fn enroll_node(
        &self,
        request: Request<EnrollNodeRequest>,
    ) -> Result<Response<EnrollNodeResponse>, Status> {
        let uid = self.caller(&request, Right::Act)?;
        let EnrollNodeRequest { invite, ownership: whose, consent } = request.into_inner();
        let ownership = ownership(&whose)?;
        let invite = invite_line::decode(&invite).map_err(|e| refused(&e, e.code()))?;
        let consent = if consent { Consent::Given } else { Consent::Missing };
        enroll(&self.shared, &invite, ownership, consent, uid, &self.config.identity)
            .await
            .map_err(|e| refuse(&e))?;
        let memory = self.shared.memory();
        let enrollment = memory.identity.as_ref().map(|id| &id.enrollment);
        Ok(Response::new(EnrollNodeResponse {
            node_id: enrollment.map(|e| e.node.to_string()).unwrap_or_default(),
            group: enrollment.map(|e| e.group.to_string()).unwrap_or_default(),
        }))
    }

    async fn why(&self, request: Request<WhyRequest>) -> Result<Response<WhyResponse>, Status> {
        self.caller(&request, Right::Look)?;
        answers::why(&self.shared.memory()).map(Response::new).map_err(|e| refused(&e, Code::Internal))
    }

    async fn privacy(&self, request: Request<PrivacyRequest>) -> Result<Response<PrivacyResponse>, Status> {
        self.caller(&request, Right::Look)?;
        let sent = self.shared.recorder.all().map_err(|e| refused(&e, e.code()))?;
        let sent = sent.into_iter().map(|message| SentMessage {
            at: message.at.0,
            kind: message.kind,
            reason: message.reason,
            content: message.content,
        });
        Ok(Response::new(PrivacyResponse { sent: sent.collect() }))
    }

    async fn models(&self, request: Request<ModelsRequest>) -> Result<Response<ModelsResponse>, Status> {
        self.caller(&request, Right::Look)?;
        let answer = models::models(&self.shared.memory(), &self.config);
        let new: Vec<BundleRef> = answer
            .models
            .iter()
            .filter(|model| model.terms_new && !model.terms.is_empty())
            .filter_map(|model| model.bundle.parse().ok())
            .collect();
        if request.into_inner().shows_terms && !new.is_empty() {
            self.shared.keep(|kept| kept.terms_shown.extend(new)).map_err(|e| refused(&e, e.code()))?;
        }
        Ok(Response::new(answer))
    }

    async fn set_paused(
        &self,
        request: Request<SetPausedRequest>,
    ) -> Result<Response<SetPausedResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let paused = request.into_inner().paused;
        self.shared.keep(|kept| kept.paused = paused).map_err(|e| refused(&e, e.code()))?;
        Ok(Response::new(SetPausedResponse {}))
    }

    async fn api_key(&self, request: Request<ApiKeyRequest>) -> Result<Response<ApiKeyResponse>, Status> {
        self.caller(&request, Right::Act)?;
        if self.shared.memory().identity.is_none() {
            return Err(refuse(&Failure::new(Code::NotEnrolled, "this machine is not enrolled")));
        }
        let rotate = if request.into_inner().rotate { Rotate::Replace } else { Rotate::Keep };
        let key = api_key::get(&self.shared.paths, rotate).map_err(|e| refused(&e, e.code()))?;
        // The gateway must know the new one before its owner uses it.
        self.shared.changed();
        Ok(Response::new(ApiKeyResponse { key }))
    }

    async fn leave_fleet(
        &self,
        request: Request<LeaveFleetRequest>,
    ) -> Result<Response<LeaveFleetResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let departure = leave(&self.shared).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(LeaveFleetResponse {
            controller_told: departure.controller_told,
            erased: departure.erased.iter().map(|path| path.display().to_string()).collect(),
            receipt: departure.receipt,
        }))
    }

    async fn adopt(&self, request: Request<AdoptRequest>) -> Result<Response<AdoptResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let AdoptRequest { sha256, index, content } = request.into_inner();
        let digest = sha256
            .try_into()
            .map(Sha256Digest)
            .map_err(|_| refuse(&Failure::new(Code::Input, "sha256: expected 32 bytes")))?;
        let blob = assigned_file(&self.shared.memory(), digest).ok_or_else(|| {
            refuse(&Failure::new(
                Code::Unapproved,
                "no bundle that is assigned to this machine has that file",
            ))
        })?;
        let (paths, chunk_len_bytes) = (self.shared.paths.clone(), blob.chunk_len_bytes);
        let landing = tokio::task::spawn_blocking(move || match content.as_slice() {
            [] => adopt::missing(&paths, &blob),
            content => adopt::take(&paths, &blob, usize::try_from(index).unwrap_or(usize::MAX), content),
        });
        let missing = landing.await.map_err(|e| refused(&e, Code::Internal))?.map_err(|e| refuse(&e))?;
        if missing.is_empty() {
            self.shared.fetch.notify_one();
        }
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let next = missing.first().copied().map(number);
        Ok(Response::new(AdoptResponse { chunk_len_bytes, next, left: number(missing.len()) }))
    }

    async fn measure_model(
        &self,
        request: Request<MeasureModelRequest>,
    ) -> Result<Response<MeasureModelResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let variants = models::measure(&self.shared, &request.into_inner().name).map_err(|e| refuse(&e))?;
        Ok(Response::new(MeasureModelResponse { variants }))
    }

    async fn ask_model(
        &self,
        request: Request<AskModelRequest>,
    ) -> Result<Response<AskModelResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let AskModelRequest { source, reason } = request.into_inner();
        let source = request::request(&self.shared, &source, &reason).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(AskModelResponse { source }))
    }

    async fn list_asked(
        &self,
        request: Request<ListAskedRequest>,
    ) -> Result<Response<ListAskedResponse>, Status> {
        self.caller(&request, Right::Look)?;
        let asked = request::asked(&self.shared).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(ListAskedResponse { asked: asked.into_iter().map(answers::asked).collect() }))
    }

    async fn catalog(&self, request: Request<CatalogRequest>) -> Result<Response<CatalogResponse>, Status> {
        self.caller(&request, Right::Look)?;
        let catalog = catalog(&self.shared.memory());
        let json = catalog.as_ref().map(serde_json::to_vec).transpose();
        let catalog_json = json.map_err(|e| refused(&e, Code::Internal))?.unwrap_or_default();
        Ok(Response::new(CatalogResponse { catalog_json }))
    }

    async fn export_evidence(
        &self,
        request: Request<ExportEvidenceRequest>,
    ) -> Result<Response<ExportEvidenceResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let content = airgap::export(&self.shared, &self.eyes.senses, self.config.gateway.listen).await;
        Ok(Response::new(ExportEvidenceResponse { content: content.map_err(|e| refuse(&e))? }))
    }

    async fn import_lease(
        &self,
        request: Request<ImportLeaseRequest>,
    ) -> Result<Response<ImportLeaseResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let until = airgap::import(&self.shared, &request.into_inner().content).map_err(|e| refuse(&e))?;
        Ok(Response::new(ImportLeaseResponse { until: until.0 }))
    }

    async fn consent(&self, request: Request<ConsentRequest>) -> Result<Response<ConsentResponse>, Status> {
        let answer = match request.get_ref().answer() {
            ConsentAnswer::Unspecified => None,
            ConsentAnswer::Give => Some(Answer::Give),
            ConsentAnswer::Revoke => Some(Answer::Revoke),
        };
        let uid = self.caller(&request, if answer.is_some() { Right::Act } else { Right::Look })?;
        if let Some(answer) = answer {
            consent::take(&self.shared, answer, uid).map_err(|e| refuse(&e))?;
        }
        Ok(Response::new(answers::consent(&self.shared.memory())))
    }

    async fn import_archive(
        &self,
        request: Request<Streaming<ImportArchiveRequest>>,
    ) -> Result<Response<ImportArchiveResponse>, Status> {
        self.caller(&request, Right::Act)?;
        let reader = Parts::new(request.into_inner());
        let imported = import(&self.shared, &self.eyes.vetting, reader).await.map_err(|e| refuse(&e))?;
        Ok(Response::new(answers::imported(imported)))
    }

    async fn accept_policy(
        &self,
        request: Request<AcceptPolicyRequest>,
    ) -> Result<Response<AcceptPolicyResponse>, Status> {
        let shown = request.get_ref().accept_sha256.clone();
        let uid = self.caller(&request, if shown.is_empty() { Right::Look } else { Right::Act })?;
        if !shown.is_empty() {
            let shown = shown
                .parse()
                .map_err(|_| refuse(&Failure::new(Code::Input, "accept_sha256 is not a SHA-256 digest")))?;
            acceptance::accept(&self.shared, &shown, uid).map_err(|e| refuse(&e))?;
        }
        Ok(Response::new(answers::policy(&self.shared.memory())))
    }

    async fn attest(
        &self,
        request: Request<LocalAttestRequest>,
    ) -> Result<Response<LocalAttestResponse>, Status> {
        self.caller(&request, Right::Act)?;
        if self.shared.memory().identity.is_none() {
            return Err(refuse(&Failure::new(Code::NotEnrolled, "this machine is not enrolled")));
        }
        let before = self.shared.memory().attested_at;
        let asked = clock::now();
        let mut changes = self.shared.changes();
        self.shared.attest.notify_one();
        let answered = async {
            loop {
                let at = self.shared.memory().attested_at;
                if at != before || at.is_some_and(|at| at.plus(ATTEST_GAP_S) > asked && at >= asked) {
                    return;
                }
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(CALL_TIMEOUT, answered).await.is_err() {
            let connection = self.shared.memory().connection.clone();
            return Err(refuse(&Failure::new(Code::Unreachable, format!("no verdict came: {connection}"))));
        }
        let memory = self.shared.memory();
        let serving = memory.serving(clock::now(), clock::boottime_ms());
        let detail = serving.refusal().map_or_else(|| "every check passes".to_owned(), ToString::to_string);
        Ok(Response::new(LocalAttestResponse { allowed: serving.refusal().is_none(), detail }))
    }
}
