//! `croft models`.

use croft_proto::grpc::{LocalModel, LocalVariant, ModelsResponse};
use serde::Serialize;

use super::{hint_of, size};
use crate::output::one_line;

/// The models of this machine.
#[derive(Debug, Serialize)]
pub struct ModelsView {
    pub models: Vec<ModelView>,
}

/// One model.
#[derive(Debug, Serialize)]
pub struct ModelView {
    pub bundle: String,
    pub aliases: Vec<String>,
    pub state: String,
    pub len_bytes: u64,
    pub fetched_bytes: u64,
    pub code: String,
    pub detail: String,
    pub sha256: String,
    pub context_tokens: u32,
    pub license: String,
    pub terms: Vec<String>,
    pub origin: String,
    pub verified_at: u64,
    #[serde(skip)]
    pub terms_new: bool,
    pub memory_bytes: u64,
    pub memory_detail: String,
    pub kv_type: String,
    /// Check prompts that were approved with it.
    pub checks: u32,
    /// Of them, answered here as approved.
    pub checks_passed: u32,
    /// How the variant that serves here is quantized.
    pub variant: String,
    /// Why that one; empty if there is but one.
    pub why: String,
    /// All, in the approver's order; empty if there is but one.
    pub variants: Vec<VariantView>,
    /// Level of the processor back end.
    pub cpu: String,
}

/// One variant of a model.
#[derive(Debug, Serialize)]
pub struct VariantView {
    pub name: String,
    pub sha256: String,
    pub len_bytes: u64,
    pub memory_bytes: u64,
    pub standing: String,
    pub serves: bool,
    pub here: bool,
    pub tokens_per_s: f64,
    pub prompt_tokens_per_s: f64,
    pub streams: u32,
    pub measured_at: u64,
    pub detail: String,
}

impl From<LocalVariant> for VariantView {
    fn from(wire: LocalVariant) -> Self {
        let LocalVariant {
            name,
            sha256,
            len_bytes,
            memory_bytes,
            standing,
            serves,
            here,
            tokens_per_s,
            prompt_tokens_per_s,
            streams,
            measured_at,
            detail,
        } = wire;
        Self {
            name,
            sha256,
            len_bytes,
            memory_bytes,
            standing,
            serves,
            here,
            tokens_per_s,
            prompt_tokens_per_s,
            streams,
            measured_at,
            detail,
        }
    }
}

impl From<ModelsResponse> for ModelsView {
    fn from(wire: ModelsResponse) -> Self {
        let model = |wire: LocalModel| {
            let LocalModel {
                bundle,
                aliases,
                state,
                len_bytes,
                fetched_bytes,
                code,
                detail,
                sha256,
                context_tokens,
                license,
                terms,
                terms_new,
                origin,
                verified_at,
                memory_bytes,
                memory_detail,
                kv_type,
                checks,
                checks_passed,
                variant,
                why,
                variants,
                cpu,
            } = wire;
            ModelView {
                bundle,
                aliases,
                state,
                len_bytes,
                fetched_bytes,
                code,
                detail,
                sha256,
                context_tokens,
                license,
                terms,
                origin,
                verified_at,
                terms_new,
                memory_bytes,
                memory_detail,
                kv_type,
                checks,
                checks_passed,
                variant,
                why,
                variants: variants.into_iter().map(VariantView::from).collect(),
                cpu,
            }
        };
        Self { models: wire.models.into_iter().map(model).collect() }
    }
}

impl ModelsView {
    pub fn render(&self) -> String {
        if self.models.is_empty() {
            return "No model is assigned to this machine yet.\n".to_owned();
        }
        let rows: Vec<[String; 9]> = self.models.iter().map(ModelView::row).collect();
        let heading = ["MODEL", "VARIANT", "STATE", "SIZE", "MEMORY", "CONTEXT", "CPU", "CHECKS", "ALIASES"]
            .map(str::to_owned);
        let mut text = String::new();
        let width = |column: usize| {
            let cells = std::iter::once(&heading).chain(&rows).filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        let mut line = |row: &[String; 9]| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            let cells: Vec<String> = cells.collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        };
        line(&heading);
        rows.iter().for_each(&mut line);
        for model in self.models.iter().filter(|model| !model.why.is_empty()) {
            text.push_str(&format!("\n{}: {}\n", one_line(&model.bundle), one_line(&model.why)));
        }
        for model in self.models.iter().filter(|model| !model.origin.is_empty()) {
            text.push_str(&format!("\n{}: found in {}\n", one_line(&model.bundle), one_line(&model.origin)));
        }
        for model in self.models.iter().filter(|model| model.terms_new && !model.terms.is_empty()) {
            text.push_str(&format!("\n{}: terms that come with it, shown once:\n", one_line(&model.bundle)));
            for line in &model.terms {
                text.push_str(&format!("  {}\n", one_line(line)));
            }
        }
        for model in self.models.iter().filter(|model| !model.code.is_empty()) {
            text.push_str(&format!(
                "\n{}: {}: {}\n",
                one_line(&model.bundle),
                one_line(&model.code),
                one_line(&model.detail)
            ));
            if let Some(hint) = hint_of(&model.code) {
                text.push_str(&format!("hint: {hint}\n"));
            }
        }
        text
    }
}

impl ModelView {
    fn row(&self) -> [String; 9] {
        let state = if self.state == "fetching" && self.len_bytes > 0 {
            let percent = u128::from(self.fetched_bytes) * 100 / u128::from(self.len_bytes);
            format!("fetching {percent} %")
        } else {
            one_line(&self.state)
        };
        let context = if self.context_tokens == 0 { "-".to_owned() } else { self.context_tokens.to_string() };
        let memory = match (self.memory_bytes, self.kv_type.as_str()) {
            (0, _) => "-".to_owned(),
            (bytes, "f16" | "") => size(bytes),
            (bytes, kv) => format!("{}, KV {}", size(bytes), one_line(kv)),
        };
        let aliases = one_line(&self.aliases.join(" "));
        let checks = match (self.checks, self.state.as_str()) {
            (0, _) => "-".to_owned(),
            (checks, "loaded") => format!("{} of {checks}", self.checks_passed),
            (checks, _) => format!("{checks} to ask"),
        };
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { one_line(text) };
        let (variant, cpu) = (or_dash(&self.variant), or_dash(&self.cpu));
        [one_line(&self.bundle), variant, state, size(self.len_bytes), memory, context, cpu, checks, aliases]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_beyond_open_source_are_shown_once() {
        let model = |terms_new| LocalModel {
            bundle: "community@1".to_owned(),
            state: "loaded".to_owned(),
            license: "LicenseRef-Community".to_owned(),
            terms: vec![
                "LicenseRef-Community is not an open-source license".to_owned(),
                "no weapons".to_owned(),
            ],
            terms_new,
            ..LocalModel::default()
        };
        let text = |terms_new| ModelsView::from(ModelsResponse { models: vec![model(terms_new)] }).render();
        assert!(text(true).ends_with(
            "\ncommunity@1: terms that come with it, shown once:\n  LicenseRef-Community is not an open-source license\n  no weapons\n"
        ));
        assert!(!text(false).contains("terms"));
    }

    #[test]
    fn each_state_of_a_model() {
        let loaded = LocalModel {
            bundle: "starter@1".to_owned(),
            aliases: vec!["chat".to_owned(), "complete".to_owned()],
            state: "loaded".to_owned(),
            len_bytes: 2_332_960,
            fetched_bytes: 2_332_960,
            memory_bytes: 43_000_000,
            kv_type: "q8_0".to_owned(),
            context_tokens: 1024,
            checks: 2,
            checks_passed: 2,
            variant: "q4_0".to_owned(),
            cpu: "avx2".to_owned(),
            why: "q4_0: 61 tokens/s at 4 streams against 44 of q4_k_m".to_owned(),
            ..LocalModel::default()
        };
        let fetching = LocalModel {
            bundle: "coder-large@12".to_owned(),
            state: "fetching".to_owned(),
            len_bytes: 4_000_000_000,
            fetched_bytes: 1_000_000_000,
            ..LocalModel::default()
        };
        let recalled = LocalModel {
            bundle: "old@3".to_owned(),
            state: "recalled".to_owned(),
            code: "E-RECALLED".to_owned(),
            detail: "wrong license".to_owned(),
            ..LocalModel::default()
        };
        let view = ModelsView::from(ModelsResponse { models: vec![loaded, fetching, recalled] });
        insta::assert_snapshot!(view.render(), @r"
    MODEL           VARIANT  STATE          SIZE     MEMORY            CONTEXT  CPU   CHECKS  ALIASES
    starter@1       q4_0     loaded         2.3 MB   43.0 MB, KV q8_0  1024     avx2  2 of 2  chat complete
    coder-large@12  -        fetching 25 %  4.0 GB   -                 -        -     -
    old@3           -        recalled       0 bytes  -                 -        -     -

    starter@1: q4_0: 61 tokens/s at 4 streams against 44 of q4_k_m

    old@3: E-RECALLED: wrong license
    hint: the organization recalled this; croft models shows why and what replaces it
    ");
        assert_eq!(
            ModelsView::from(ModelsResponse::default()).render(),
            "No model is assigned to this machine yet.\n"
        );
    }
}
