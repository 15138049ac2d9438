//! `croft import`.

use croft_proto::grpc::{ImportArchiveResponse, ImportedBundle};
use serde::Serialize;

use super::hint_of;
use crate::moment;
use crate::output::one_line;

/// What came of an archive.
#[derive(Debug, Serialize)]
pub struct ImportView {
    pub bundles: Vec<BundleView>,
    pub recalls_new: u32,
    pub metadata_expires_at: u64,
}

/// What became of one bundle.
#[derive(Debug, Serialize)]
pub struct BundleView {
    pub bundle: String,
    pub outcome: String,
    pub code: String,
    pub detail: String,
}

impl From<ImportArchiveResponse> for ImportView {
    fn from(wire: ImportArchiveResponse) -> Self {
        let ImportArchiveResponse { bundles, recalls_new, metadata_expires_at } = wire;
        let bundle = |wire: ImportedBundle| {
            let ImportedBundle { bundle, outcome, code, detail } = wire;
            BundleView { bundle, outcome, code, detail }
        };
        Self { bundles: bundles.into_iter().map(bundle).collect(), recalls_new, metadata_expires_at }
    }
}

impl ImportView {
    pub fn render(&self) -> String {
        let mut text = String::new();
        for bundle in &self.bundles {
            let what = match bundle.outcome.as_str() {
                "installed" => "installed".to_owned(),
                "present" => "was here already".to_owned(),
                _ => format!("left out: {}: {}", one_line(&bundle.code), one_line(&bundle.detail)),
            };
            text.push_str(&format!("{}: {what}\n", one_line(&bundle.bundle)));
            if let Some(hint) = hint_of(&bundle.code) {
                text.push_str(&format!("hint: {hint}\n"));
            }
        }
        let until = moment::exact(self.metadata_expires_at);
        text.push_str(&format!("signed documents: in force until {until}\n"));
        match self.recalls_new {
            0 => {}
            1 => text.push_str("1 new recall is obeyed\n"),
            count => text.push_str(&format!("{count} new recalls are obeyed\n")),
        }
        text
    }
}
