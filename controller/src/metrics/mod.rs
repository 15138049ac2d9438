//! What is counted, in the OpenMetrics text format. Labels are closed sets: no node, no name, no text from outside.

use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// How a verdict ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct VerdictLabel {
    /// `allowed` or `blocked`.
    pub outcome: &'static str,
}

/// Which refusal.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RefusalLabel {
    /// The stable code.
    pub code: &'static str,
}

/// The controller's metrics.
pub struct Metrics {
    registry: Registry,
    /// Nodes enrolled.
    pub enrollments: Counter,
    /// Verdicts given.
    pub verdicts: Family<VerdictLabel, Counter>,
    /// Receipts taken in.
    pub receipts: Counter,
    /// Requests refused.
    pub refusals: Family<RefusalLabel, Counter>,
    /// Bytes of blobs sent.
    pub blob_bytes: Counter,
    /// Nodes that watch.
    pub watchers: Gauge,
    /// Connections of nodes.
    pub connections: Gauge,
    /// When the signed state expires, Unix seconds; 0 before the first publish.
    pub metadata_expires_at: Gauge<i64, AtomicI64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Registry::default(),
            enrollments: Counter::default(),
            verdicts: Family::default(),
            receipts: Counter::default(),
            refusals: Family::default(),
            blob_bytes: Counter::default(),
            watchers: Gauge::default(),
            connections: Gauge::default(),
            metadata_expires_at: Gauge::default(),
        };
        metrics.registered()
    }
}

impl Metrics {
    fn registered(mut self) -> Self {
        let croft = self.registry.sub_registry_with_prefix("croft_controller");
        croft.register("enrollments", "Nodes enrolled", self.enrollments.clone());
        croft.register("verdicts", "Verdicts given, by outcome", self.verdicts.clone());
        croft.register("receipts", "Bundle receipts taken in", self.receipts.clone());
        croft.register("refusals", "Requests refused, by stable code", self.refusals.clone());
        croft.register("blob_bytes", "Bytes of blobs sent", self.blob_bytes.clone());
        croft.register("watchers", "Nodes that watch", self.watchers.clone());
        croft.register("connections", "Open connections of nodes", self.connections.clone());
        croft.register(
            "metadata_expires_at_seconds",
            "When the signed state expires, Unix time; 0 before the first publish",
            self.metadata_expires_at.clone(),
        );
        self
    }

    /// The text to be scraped.
    ///
    /// # Errors
    /// Never for these metrics; the encoder's signature allows it.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
