//! Streams of events, and the plain-text listener for those who watch the controller itself.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use croft_proto::grpc::watch_event::Event;
use croft_proto::grpc::{AttestNow, DesiredState, Recalled, Revoked, WatchEvent};
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tonic::Status;

use crate::app::{App, Desired, Watched};

/// A node's stream.
pub(super) struct Events {
    events: mpsc::Receiver<Watched>,
}

impl Events {
    pub(super) const fn new(events: mpsc::Receiver<Watched>) -> Self {
        Self { events }
    }
}

impl Stream for Events {
    type Item = Result<WatchEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context).map(|event| event.map(|event| Ok(wire(event))))
    }
}

fn wire(event: Watched) -> WatchEvent {
    let event = match event {
        Watched::Desired(desired) => Event::Desired(state(desired)),
        Watched::Recalled(recall) => Event::Recalled(Recalled { recall: Some(recall.into()) }),
        Watched::Revoked(reason) => Event::Revoked(Revoked { reason }),
        Watched::AttestNow => Event::AttestNow(AttestNow {}),
    };
    WatchEvent { event: Some(event) }
}

fn state(desired: Desired) -> DesiredState {
    let Desired { bundles, baseline, targets_version, timestamp_version, recalls } = desired;
    DesiredState {
        bundles: bundles.iter().map(ToString::to_string).collect(),
        baseline: baseline.map(|baseline| baseline.to_string()).unwrap_or_default(),
        targets_version,
        timestamp_version,
        recalls: recalls.into_iter().map(Into::into).collect(),
    }
}

/// Health and metrics, without TLS: for a loopback port only.
pub fn monitor(app: Arc<App>) -> Router {
    Router::new().route("/healthz", get(health)).route("/metrics", get(metrics)).with_state(app)
}

async fn health(State(app): State<Arc<App>>) -> Response {
    match app.store.ping().await {
        Ok(()) => (StatusCode::OK, "ok\n").into_response(),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response(),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    app.metrics.watchers.set(gauge(app.hub.count()));
    app.metrics.connections.set(gauge(app.connections.count()));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    app.metrics.text().map_or_else(
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        |text| ([(header::CONTENT_TYPE, kind)], text).into_response(),
    )
}
