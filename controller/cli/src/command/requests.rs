//! `requests`: what people ask for with `croft request`.

use croft_domain::id::{NodeId, RequestId};
use croft_domain::request::RequestOutcome;
use croft_domain::time::Timestamp;
use croft_proto::grpc::{CloseModelRequestRequest, ListModelRequestsRequest, ModelRequest};
use serde::Serialize;

use crate::args::{Format, Requests};
use crate::client::{connect, refused};
use crate::clock::written;
use crate::error::CtlError;
use crate::fleet_dir::FleetDir;
use crate::output::{Column, Resource, column, print_list, say, wide};

/// Runs `requests`.
///
/// # Errors
/// There is no such request, or the controller refuses.
pub async fn run(dir: &FleetDir, verb: &Requests, output: Format) -> Result<(), CtlError> {
    let mut admin = connect(dir).await?;
    match verb {
        Requests::List => {
            let answer = admin.list_model_requests(ListModelRequestsRequest {}).await;
            let requests = answer.map_err(refused("list requests"))?.into_inner().requests;
            let lines: Vec<Line> = requests.into_iter().map(Line::from).collect();
            print_list(&lines, output)
        }
        Requests::Close { id, outcome, note } => {
            let outcome = RequestOutcome::from(*outcome).as_str();
            let close = CloseModelRequestRequest {
                request_id: id.0.to_vec(),
                note: note.clone(),
                outcome: outcome.to_owned(),
            };
            let answer = admin.close_model_request(close).await.map_err(refused("close a request"))?;
            say(&format!("{outcome}: {}", answer.into_inner().source));
            say("who asked sees it with: croft request --list");
            Ok(())
        }
    }
}

/// One request, as `-o json` writes it.
#[derive(Debug, Serialize)]
struct Line {
    request: String,
    node: String,
    group: String,
    source: String,
    reason: String,
    at: u64,
}

impl From<ModelRequest> for Line {
    fn from(wire: ModelRequest) -> Self {
        let ModelRequest { request_id, node_id, group, source, reason, at } = wire;
        let request = RequestId::try_from(request_id.as_slice()).map(|id| id.to_string());
        let node = NodeId::try_from(node_id.as_slice()).map(|id| id.to_string());
        let unknown = || "?".to_owned();
        let (request, node) = (request.unwrap_or_else(|_| unknown()), node.unwrap_or_else(|_| unknown()));
        Self { request, node, group, source, reason, at }
    }
}

impl Resource for Line {
    const COLUMNS: &'static [Column] =
        &[column("REQUEST"), column("ASKED"), column("GROUP"), column("SOURCE"), column("WHY"), wide("NODE")];

    fn cells(&self) -> Vec<String> {
        vec![
            self.request.clone(),
            written(Timestamp(self.at)),
            self.group.clone(),
            self.source.clone(),
            self.reason.clone(),
            self.node.clone(),
        ]
    }

    fn name(&self) -> String {
        self.request.clone()
    }
}
