//! What the gateway may do, in the daemon's words, and how it is put on the wire.

use croft_domain::baseline::RemoteLinks;
use croft_domain::bundle::Header;
use croft_domain::data_class::{DataAction, DataClass, DataClasses};
use croft_domain::digest::Sha256Digest;
use croft_domain::id::BundleRef;
use croft_domain::time::Timestamp;
use croft_domain::usage::{Sensitivity, UsageRules};
use croft_proto::frames::{DataRule, GatewayPolicy, ServedModel};

use crate::failure::Failure;

/// Whether it may serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It may.
    Serve {
        /// Until then at the latest, by the wall clock.
        until: Timestamp,
        /// And until then, in milliseconds since boot.
        until_boottime_ms: u64,
    },
    /// It refuses, and tells callers why.
    Refuse(Failure),
}

/// A model that callers may name.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name.
    pub name: String,
    /// What else it answers to.
    pub aliases: Vec<String>,
    /// Which bundle it is.
    pub bundle: BundleRef,
    /// Its weights.
    pub digest: Sha256Digest,
    /// Their length, in bytes.
    pub len_bytes: u64,
    /// Its architecture.
    pub architecture: String,
    /// Context of one conversation, in tokens.
    pub context_tokens: u32,
    /// Default temperature.
    pub temperature: f32,
    /// In which slot.
    pub slot: u32,
    /// The approved template.
    pub template: String,
    /// What the weights' header says.
    pub header: Header,
    /// The most sensitive data that it may be given.
    pub data_class_max: Sensitivity,
    /// SPDX identifier of its license.
    pub license: String,
}

/// Everything that the gateway needs to answer or refuse.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// Whether it may serve.
    pub permission: Permission,
    /// What.
    pub models: Vec<Model>,
    /// Accounts that need no key.
    pub uids: Vec<u32>,
    /// SHA-256 of the key for others, hexadecimal; empty if there is none.
    pub api_key_sha256: String,
    /// What becomes of requests that hold such content.
    pub data_classes: DataClasses,
    /// What the baseline says about using models.
    pub usage: UsageRules,
    /// Web origins that may use the API.
    pub origins: Vec<String>,
    /// What becomes of links to other hosts in answers.
    pub remote_links: RemoteLinks,
}

impl From<Policy> for GatewayPolicy {
    fn from(policy: Policy) -> Self {
        let Policy { permission, models, uids, api_key_sha256, data_classes, usage, origins, remote_links } =
            policy;
        let base = Self {
            models: models.into_iter().map(ServedModel::from).collect(),
            enrolled_uids: uids,
            api_key_sha256,
            data_rules: rules(&data_classes),
            answer_rules: rules(&usage.answers),
            tokens_per_day: usage.tokens_per_day,
            in_flight_max: usage.in_flight_max,
            data_class: usage.data_class.as_str().to_owned(),
            keep_alive_max_s: usage.keep_alive_max_s,
            origins,
            defuse_links: remote_links == RemoteLinks::Defuse,
            ..Self::default()
        };
        match permission {
            Permission::Serve { until, until_boottime_ms } => Self {
                serving: true,
                serve_until: until.0,
                serve_until_boottime_ms: until_boottime_ms,
                ..base
            },
            Permission::Refuse(failure) => Self {
                refusal_code: failure.code().to_string(),
                refusal_reason: failure.message().to_owned(),
                ..base
            },
        }
    }
}

fn rules(classes: &DataClasses) -> Vec<DataRule> {
    let rule = |(class, action): (&DataClass, &DataAction)| DataRule {
        data_class: class.as_str().to_owned(),
        action: action.as_str().to_owned(),
    };
    classes.iter().map(rule).collect()
}

impl From<Model> for ServedModel {
    fn from(model: Model) -> Self {
        Self {
            name: model.name,
            aliases: model.aliases,
            bundle: model.bundle.to_string(),
            digest: model.digest.to_string(),
            len_bytes: model.len_bytes,
            architecture: model.architecture,
            context_tokens: model.context_tokens,
            temperature: model.temperature,
            slot: model.slot,
            quantization: model.header.quantization,
            template: model.template,
            parameter_count: model.header.parameters,
            data_class_max: model.data_class_max.as_str().to_owned(),
            license: model.license,
            context_length: model.header.context_length,
        }
    }
}
