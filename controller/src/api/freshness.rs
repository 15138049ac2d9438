//! Seals from a freshness host, which shows no certificate: its signatures are the proof.

use croft_proto::grpc::freshness_server::Freshness as Wire;
use croft_proto::grpc::{SealRequest, SealResponse};
use tonic::{Request, Response, Status};

use super::Service;
use crate::clock::now;

#[tonic::async_trait]
impl Wire for Service {
    async fn seal(&self, request: Request<SealRequest>) -> Result<Response<SealResponse>, Status> {
        let SealRequest { snapshot, timestamp } = request.into_inner();
        let sealed = self.app.seal(snapshot, timestamp, now()).await;
        let view = sealed.map_err(|e| self.refuse(&e))?;
        Ok(Response::new(SealResponse { timestamp_version: view.versions.timestamp }))
    }
}
