//! The service for admins: every call needs an admin's certificate, and every change is in the audit log.

use croft_domain::id::{InviteId, NodeId};
use croft_domain::request::RequestOutcome;
use croft_domain::time::Timestamp;
use croft_proto::grpc::admin_server::Admin;
use croft_proto::grpc::*;
use tonic::{Request, Response, Status, Streaming};

use super::{Service, convert, peer};
use crate::app::{Actor, AppError, Assignment, AuditEntry, Erasure, InviteRow, NodeRow, Outcome, Standing};
use crate::clock::now;
use crate::limits;

impl Service {
    async fn admin<T: Send>(&self, request: Request<T>) -> Result<(Actor, T), Status> {
        let actor = self.app.admin_of(&peer(&request)).await.map_err(|e| self.refuse(&e))?;
        Ok((actor, request.into_inner()))
    }

    async fn take_parts(
        &self,
        actor: &Actor,
        parts: &mut Streaming<UploadBlobRequest>,
    ) -> Result<UploadBlobResponse, AppError> {
        let broke_off = |_| AppError::Input("the upload broke off; it can be resumed".to_owned());
        let mut next = parts.message().await.map_err(broke_off)?;
        let first = next.as_ref().ok_or_else(|| AppError::Input("no part was sent".to_owned()))?;
        let digest = convert::digest("sha256", &first.sha256)?;
        let len_bytes = first.len_bytes;
        let mut upload = self.app.begin_upload(digest, len_bytes).await?;
        while let Some(UploadBlobRequest { sha256, len_bytes: len, offset, data }) = next {
            if convert::digest("sha256", &sha256)? != digest || len != len_bytes {
                return Err(AppError::Input("sha256, len_bytes: one call uploads one blob".to_owned()));
            }
            if data.len() > limits::UPLOAD_PART_LEN_MAX {
                return Err(AppError::Input("data: expected at most 1 MiB".to_owned()));
            }
            upload = self.app.upload_part(upload, offset, data.into()).await?;
            next = parts.message().await.map_err(broke_off)?;
        }
        let (received, complete) = self.app.finish_upload(actor, digest, upload, now()).await?;
        Ok(UploadBlobResponse { received, complete })
    }
}

fn summary(row: &NodeRow, outcome: Outcome) -> NodeSummary {
    NodeSummary {
        node_id: row.id.0.to_vec(),
        group: row.group.to_string(),
        ownership: convert::ownership_word(row.ownership).to_owned(),
        mode: convert::mode_word(row.mode).to_owned(),
        os: row.os.clone(),
        standing: row.standing.as_str().to_owned(),
        last_seen: row.last_seen.0,
        lease_until: row.lease_until.0,
        outcome: match outcome {
            Outcome::Pass => "pass",
            Outcome::Degraded => "degraded",
            Outcome::Blocked => "blocked",
            Outcome::NoData => "no-data",
        }
        .to_owned(),
        agent_version: row.agent_version.clone(),
        notice: row.notice.clone(),
        notice_at: row.notice_at.0,
    }
}

fn invite(request: CreateInviteRequest) -> Result<InviteRow, AppError> {
    let CreateInviteRequest { invite_id, secret_sha256, group, expires_at, uses } = request;
    Ok(InviteRow {
        id: convert::id::<InviteId>("invite_id", &invite_id)?,
        secret_sha256: convert::array("secret_sha256", &secret_sha256)?,
        group: convert::parsed("group", &group)?,
        expires_at: Timestamp(expires_at),
        uses_left: u64::from(uses),
    })
}

fn names<T: ToString>(names: &[T]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[tonic::async_trait]
impl Admin for Service {
    async fn create_invite(
        &self,
        request: Request<CreateInviteRequest>,
    ) -> Result<Response<CreateInviteResponse>, Status> {
        let (actor, wire) = self.admin(request).await?;
        let created = async { self.app.create_invite(&actor, &invite(wire)?, now()).await };
        created.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(CreateInviteResponse {}))
    }

    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        self.admin(request).await?;
        let nodes = self.app.list_nodes(now()).await.map_err(|e| self.refuse(&e))?;
        let nodes = nodes.iter().map(|(row, outcome)| summary(row, *outcome)).collect();
        Ok(Response::new(ListNodesResponse { nodes }))
    }

    async fn describe_node(
        &self,
        request: Request<DescribeNodeRequest>,
    ) -> Result<Response<DescribeNodeResponse>, Status> {
        let (_, DescribeNodeRequest { node_id }) = self.admin(request).await?;
        let described = async { self.app.describe_node(convert::id("node_id", &node_id)?, now()).await };
        let detail = described.await.map_err(|e| self.refuse(&e))?;
        let (verdict_json, evidence_json) =
            detail.last.map(|last| (last.verdict, last.evidence)).unwrap_or_default();
        Ok(Response::new(DescribeNodeResponse {
            summary: Some(summary(&detail.row, detail.outcome)),
            verdict_json,
            evidence_json,
            chain_head: detail.row.chain_head.map(|head| head.0.to_vec()).unwrap_or_default(),
            chain_length: detail.row.chain_length,
        }))
    }

    async fn set_node_standing(
        &self,
        request: Request<SetNodeStandingRequest>,
    ) -> Result<Response<SetNodeStandingResponse>, Status> {
        let (actor, SetNodeStandingRequest { node_id, standing, reason }) = self.admin(request).await?;
        let set = async {
            let id: NodeId = convert::id("node_id", &node_id)?;
            let standing: Standing = standing
                .parse()
                .map_err(|()| AppError::Input("standing: expected active, evicted or banned".to_owned()))?;
            self.app.set_standing(&actor, id, standing, &reason, now()).await
        };
        set.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(SetNodeStandingResponse {}))
    }

    async fn list_bundles(
        &self,
        request: Request<ListBundlesRequest>,
    ) -> Result<Response<ListBundlesResponse>, Status> {
        self.admin(request).await?;
        let bundles = self.app.list_bundles().await.map_err(|e| self.refuse(&e))?;
        let bundles = bundles.into_iter().map(|view| BundleSummary {
            bundle: view.reference.to_string(),
            manifest_sha256: view.manifest_sha256,
            len_bytes: view.len_bytes,
            license: view.license,
            groups: names(&view.groups),
            loaded_on: view.loaded_on,
            blobs_complete: view.blobs_complete,
            recalled: view.recalled,
        });
        Ok(Response::new(ListBundlesResponse { bundles: bundles.collect() }))
    }

    async fn list_baselines(
        &self,
        request: Request<ListBaselinesRequest>,
    ) -> Result<Response<ListBaselinesResponse>, Status> {
        self.admin(request).await?;
        let baselines = self.app.list_baselines().into_iter().map(|view| BaselineSummary {
            baseline: view.reference.to_string(),
            tier: u32::from(view.tier),
            groups: names(&view.groups),
            checks: count(view.checks),
        });
        Ok(Response::new(ListBaselinesResponse { baselines: baselines.collect() }))
    }

    async fn query_blob(
        &self,
        request: Request<QueryBlobRequest>,
    ) -> Result<Response<QueryBlobResponse>, Status> {
        let (_, QueryBlobRequest { sha256 }) = self.admin(request).await?;
        let digest = convert::digest("sha256", &sha256).map_err(|e| self.refuse(&e))?;
        let (received, complete) = self.app.query_blob(digest);
        Ok(Response::new(QueryBlobResponse { received, complete }))
    }

    async fn upload_blob(
        &self,
        request: Request<Streaming<UploadBlobRequest>>,
    ) -> Result<Response<UploadBlobResponse>, Status> {
        let (actor, mut parts) = self.admin(request).await?;
        let taken = self.take_parts(&actor, &mut parts).await;
        taken.map(Response::new).map_err(|e| self.refuse(&e))
    }

    async fn publish_trust(
        &self,
        request: Request<PublishTrustRequest>,
    ) -> Result<Response<PublishTrustResponse>, Status> {
        let (actor, PublishTrustRequest { metadata, targets }) = self.admin(request).await?;
        let files = metadata.into_iter().chain(targets).map(|file| (file.name, file.content)).collect();
        let view = self.app.publish(&actor, files, now()).await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(PublishTrustResponse { targets_version: view.versions.targets }))
    }

    async fn fetch_trust(
        &self,
        request: Request<FetchTrustRequest>,
    ) -> Result<Response<FetchTrustResponse>, Status> {
        self.admin(request).await?;
        let (metadata, targets) =
            self.app.mirror.current().map(|published| published.files()).unwrap_or_default();
        Ok(Response::new(FetchTrustResponse {
            metadata: convert::trust_files(metadata),
            targets: convert::trust_files(targets),
        }))
    }

    async fn set_assignment(
        &self,
        request: Request<SetAssignmentRequest>,
    ) -> Result<Response<SetAssignmentResponse>, Status> {
        let (actor, SetAssignmentRequest { group, bundle, assigned }) = self.admin(request).await?;
        let set = async {
            let assignment = Assignment {
                group: convert::parsed("group", &group)?,
                bundle: convert::parsed("bundle", &bundle)?,
            };
            self.app.assign(&actor, &assignment, assigned, now()).await
        };
        let told = set.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(SetAssignmentResponse { nodes_told: count(told) }))
    }

    async fn submit_recall(
        &self,
        request: Request<SubmitRecallRequest>,
    ) -> Result<Response<SubmitRecallResponse>, Status> {
        let (actor, SubmitRecallRequest { recall }) = self.admin(request).await?;
        let submitted = async {
            let envelope = convert::envelope("recall", recall)?;
            self.app.submit_recall(&actor, &envelope, now()).await
        };
        let told = submitted.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(SubmitRecallResponse { nodes_told: count(told) }))
    }

    async fn list_recalls(
        &self,
        request: Request<ListRecallsRequest>,
    ) -> Result<Response<ListRecallsResponse>, Status> {
        self.admin(request).await?;
        let recalls = self.app.store.recalls().await.map_err(|e| self.refuse(&e.into()))?;
        let recalls = recalls.into_iter().map(Into::into).collect();
        Ok(Response::new(ListRecallsResponse { recalls }))
    }

    async fn create_report(
        &self,
        request: Request<CreateReportRequest>,
    ) -> Result<Response<CreateReportResponse>, Status> {
        let (actor, CreateReportRequest {}) = self.admin(request).await?;
        let id = self.app.create_report(&actor, now()).await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(CreateReportResponse { report_id: id.0.to_vec() }))
    }

    async fn list_reports(
        &self,
        request: Request<ListReportsRequest>,
    ) -> Result<Response<ListReportsResponse>, Status> {
        self.admin(request).await?;
        let reports = self.app.store.reports().await.map_err(|e| self.refuse(&e.into()))?;
        let reports = reports.into_iter().map(|row| ReportSummary {
            report_id: row.id.0.to_vec(),
            as_of: row.as_of.0,
            nodes: u32::try_from(row.nodes).unwrap_or(u32::MAX),
        });
        Ok(Response::new(ListReportsResponse { reports: reports.collect() }))
    }

    async fn get_report(
        &self,
        request: Request<GetReportRequest>,
    ) -> Result<Response<GetReportResponse>, Status> {
        let (_, GetReportRequest { report_id, format }) = self.admin(request).await?;
        let got = async {
            let id = if report_id.is_empty() { None } else { Some(convert::id("report_id", &report_id)?) };
            let report = self
                .app
                .store
                .report(id)
                .await?
                .ok_or_else(|| AppError::NotFound("such report".to_owned()))?;
            let content = match format.as_str() {
                "html" => report.html,
                "json" => report.json,
                _ => return Err(AppError::Input("format: expected html or json".to_owned())),
            };
            Ok(GetReportResponse { report_id: report.row.id.0.to_vec(), content })
        };
        got.await.map(Response::new).map_err(|e| self.refuse(&e))
    }

    async fn list_model_requests(
        &self,
        request: Request<ListModelRequestsRequest>,
    ) -> Result<Response<ListModelRequestsResponse>, Status> {
        self.admin(request).await?;
        let requests = self.app.model_requests().await.map_err(|e| self.refuse(&e))?;
        let requests = requests.into_iter().map(|(row, group)| ModelRequest {
            request_id: row.id.0.to_vec(),
            node_id: row.node.0.to_vec(),
            group: group.to_string(),
            source: row.source,
            reason: row.reason,
            at: row.at.0,
        });
        Ok(Response::new(ListModelRequestsResponse { requests: requests.collect() }))
    }

    async fn close_model_request(
        &self,
        request: Request<CloseModelRequestRequest>,
    ) -> Result<Response<CloseModelRequestResponse>, Status> {
        let (actor, CloseModelRequestRequest { request_id, note, outcome }) = self.admin(request).await?;
        let closed = async {
            let id = convert::id("request_id", &request_id)?;
            let outcome = RequestOutcome::named(&outcome).unwrap_or(RequestOutcome::Pending);
            self.app.close_request(&actor, id, outcome, &note, now()).await
        };
        let source = closed.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(CloseModelRequestResponse { source }))
    }

    async fn export_chain(
        &self,
        request: Request<ExportChainRequest>,
    ) -> Result<Response<ExportChainResponse>, Status> {
        let (_, ExportChainRequest { node_id, after_position }) = self.admin(request).await?;
        let exported =
            async { self.app.export_chain(convert::id("node_id", &node_id)?, after_position).await };
        let page = exported.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(ExportChainResponse {
            key_point: page.row.key_point.to_vec(),
            chain_head: page.row.chain_head.map(|head| head.0.to_vec()).unwrap_or_default(),
            chain_length: page.row.chain_length,
            entries: page.entries.into_iter().map(convert::chain_entry).collect(),
            evidence_kept_s: self.app.retention.evidence_s,
            verdicts_kept_s: self.app.retention.verdicts_s,
            attestation_point: page
                .row
                .hardware
                .map(|hardware| hardware.attestation_point.to_vec())
                .unwrap_or_default(),
        }))
    }

    async fn erase_bodies(
        &self,
        request: Request<EraseBodiesRequest>,
    ) -> Result<Response<EraseBodiesResponse>, Status> {
        let (actor, EraseBodiesRequest { node_id, before, verdict_id, reason }) = self.admin(request).await?;
        let erased = async {
            let erasure = Erasure {
                node: convert::optional_id("node_id", &node_id)?,
                before: (before > 0).then_some(Timestamp(before)),
                verdict: convert::optional_id("verdict_id", &verdict_id)?,
            };
            self.app.erase_bodies(&actor, &erasure, &reason, now()).await
        };
        let erased = erased.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(EraseBodiesResponse { erased }))
    }

    async fn list_actions(
        &self,
        request: Request<ListActionsRequest>,
    ) -> Result<Response<ListActionsResponse>, Status> {
        let (_, ListActionsRequest { limit }) = self.admin(request).await?;
        let actions = self.app.actions(limit).await.map_err(|e| self.refuse(&e))?;
        let actions = actions.into_iter().map(|AuditEntry { at, actor, action, object, detail }| {
            AdminAction { at: at.0, actor, action, object, detail }
        });
        Ok(Response::new(ListActionsResponse { actions: actions.collect() }))
    }
}
