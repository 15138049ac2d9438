//! The wire: gRPC services and downloads on one port. The only room that names wire types; it turns them into the
//! domain's and hands over to `app`. No rule is decided here but who must show which certificate.

mod admin;
mod convert;
mod downloads;
mod enrollment;
mod freshness;
mod node;
mod refusal;
mod watching;

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use croft_proto::grpc::MESSAGE_LEN_MAX;
use croft_proto::grpc::admin_server::AdminServer;
use croft_proto::grpc::enrollment_server::EnrollmentServer;
use croft_proto::grpc::freshness_server::FreshnessServer;
use croft_proto::grpc::node_server::NodeServer;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::limits;
use crate::tls::Peer;

pub use watching::monitor;

/// What every service works with.
#[derive(Clone)]
struct Service {
    app: Arc<App>,
    stop: CancellationToken,
}

impl Service {
    fn refuse(&self, error: &crate::app::AppError) -> tonic::Status {
        refusal::status(&self.app.metrics, error)
    }
}

/// Everything that is served on the fleet's port. Streams end with `stop`.
pub fn router(app: Arc<App>, stop: CancellationToken) -> Router {
    let service = Service { app: app.clone(), stop };
    let small = limits::SMALL_MESSAGE_LEN_MAX;
    let grpc =
        tonic::service::Routes::new(EnrollmentServer::new(service.clone()).max_decoding_message_size(small))
            .add_service(NodeServer::new(service.clone()).max_decoding_message_size(small))
            .add_service(FreshnessServer::new(service.clone()).max_decoding_message_size(small))
            .add_service(
                AdminServer::new(service)
                    .max_decoding_message_size(MESSAGE_LEN_MAX)
                    .max_encoding_message_size(MESSAGE_LEN_MAX),
            )
            .into_axum_router();
    let downloads = Router::new()
        .route("/trust/{name}", get(downloads::trust))
        .route("/blobs/sha256/{hex}", get(downloads::blob))
        .with_state(app);
    grpc.merge(downloads).fallback(nothing_here)
}

// gRPC clients expect their own kind of answer; everybody else a plain one.
async fn nothing_here(request: axum::extract::Request) -> Response {
    let kind = request.headers().get(header::CONTENT_TYPE).map(axum::http::HeaderValue::as_bytes);
    if kind.is_some_and(|kind| kind.starts_with(b"application/grpc")) {
        tonic::Status::unimplemented("no such method").into_http::<axum::body::Body>()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// Who speaks. A request without the extension never came through the listener: nobody.
fn peer<T>(request: &tonic::Request<T>) -> Peer {
    request.extensions().get::<Peer>().cloned().unwrap_or(Peer::Anonymous)
}
