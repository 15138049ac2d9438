//! The service for nodes. Each call asks anew whether the node still belongs to the fleet.

use croft_proto::grpc::node_server::Node;
use croft_proto::grpc::{
    AskedModel, AskedModelsRequest, AskedModelsResponse, AttestRequest, AttestResponse, ChallengeRequest,
    ChallengeResponse, LeaveRequest, LeaveResponse, RequestModelRequest, RequestModelResponse,
    SubmitReceiptRequest, SubmitReceiptResponse, WatchRequest,
};
use tonic::{Request, Response, Status};

use super::watching::Events;
use super::{Service, convert, peer};
use crate::app::NodeRow;
use crate::clock::now;

impl Service {
    async fn node<T: Send>(&self, request: Request<T>) -> Result<(NodeRow, T), Status> {
        let row = self.app.node_of(&peer(&request)).await.map_err(|e| self.refuse(&e))?;
        Ok((row, request.into_inner()))
    }
}

#[tonic::async_trait]
impl Node for Service {
    async fn challenge(
        &self,
        request: Request<ChallengeRequest>,
    ) -> Result<Response<ChallengeResponse>, Status> {
        let (node, ChallengeRequest { chain_head: known }) = self.node(request).await?;
        let shown = async {
            let known = if known.is_empty() { None } else { Some(convert::digest("chain_head", &known)?) };
            self.app.links_since(&node, known).await
        };
        let links = shown.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(ChallengeResponse {
            nonce: self.app.challenge(&node, now()),
            chain_head: node.chain_head.map(|head| head.0.to_vec()).unwrap_or_default(),
            links: links.iter().map(convert::link).collect(),
        }))
    }

    async fn attest(&self, request: Request<AttestRequest>) -> Result<Response<AttestResponse>, Status> {
        let (node, AttestRequest { evidence, quote }) = self.node(request).await?;
        let answer = async {
            let envelope = convert::envelope("evidence", evidence)?;
            let quote = quote.map(convert::quote).transpose()?;
            self.app.attest(&node, &envelope, quote.as_ref(), now()).await
        };
        let attested = answer.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(AttestResponse {
            verdict_id: attested.verdict_id.0.to_vec(),
            verdict_json: attested.verdict_json,
            lease: attested.lease.map(Into::into),
            chain_head: attested.chain_head.to_vec(),
            salt: attested.salt.to_vec(),
            judged_at: attested.at.0,
            verdict_salt: attested.verdict_salt.to_vec(),
            rules: attested.rules.0.to_vec(),
        }))
    }

    async fn submit_receipt(
        &self,
        request: Request<SubmitReceiptRequest>,
    ) -> Result<Response<SubmitReceiptResponse>, Status> {
        let (node, SubmitReceiptRequest { receipt }) = self.node(request).await?;
        let taken = async {
            let envelope = convert::envelope("receipt", receipt)?;
            self.app.receive_receipt(&node, &envelope, now()).await
        };
        taken.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(SubmitReceiptResponse {}))
    }

    type WatchStream = Events;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Events>, Status> {
        let (node, WatchRequest { targets_version: _ }) = self.node(request).await?;
        let watched = self.app.clone().watch(node, self.stop.clone()).await;
        Ok(Response::new(Events::new(watched.map_err(|e| self.refuse(&e))?)))
    }

    async fn leave(&self, request: Request<LeaveRequest>) -> Result<Response<LeaveResponse>, Status> {
        let (node, LeaveRequest { farewell }) = self.node(request).await?;
        let left = async {
            let envelope = convert::envelope("farewell", farewell)?;
            self.app.leave(&node, &envelope, now()).await
        };
        left.await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(LeaveResponse {}))
    }

    async fn request_model(
        &self,
        request: Request<RequestModelRequest>,
    ) -> Result<Response<RequestModelResponse>, Status> {
        let (node, RequestModelRequest { source, reason }) = self.node(request).await?;
        self.app.request_model(&node, &source, &reason, now()).await.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(RequestModelResponse {}))
    }

    async fn asked_models(
        &self,
        request: Request<AskedModelsRequest>,
    ) -> Result<Response<AskedModelsResponse>, Status> {
        let (node, AskedModelsRequest {}) = self.node(request).await?;
        let asked = self.app.requests_of(&node).await.map_err(|e| self.refuse(&e))?;
        let asked = asked.into_iter().map(|row| AskedModel {
            source: row.source,
            at: row.at.0,
            outcome: row.outcome.as_str().to_owned(),
            note: row.note,
            closed_at: row.closed_at.0,
        });
        Ok(Response::new(AskedModelsResponse { asked: asked.collect() }))
    }
}
