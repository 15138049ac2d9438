//! What editors ask before they show a model: version, tags, show, processes. Every text of `details` is filled:
//! clients demand them.

use croft_domain::code::Code;
use croft_proto::frames::ServedModel;
use serde_json::{Value, json};

use super::super::clock::rfc3339;
use super::super::errors::Refusal;
use super::super::fields::Fields;
use super::super::gate::Gate;
use super::super::policy::Policy;

/// The Ollama whose calls these are, marked as ours.
const VERSION: &str = "0.12.6+croft";

/// `GET /api/version`.
#[must_use]
pub fn version() -> Value {
    json!({"version": VERSION})
}

/// `GET /api/tags`: names, then their aliases.
#[must_use]
pub fn tags(policy: Option<&Policy>) -> Value {
    let models = policy.map_or_else(Vec::new, |policy| {
        named(policy).map(|(name, model)| entry(name, model, policy)).collect()
    });
    json!({"models": models})
}

/// `GET /api/ps`: models whose process is up.
#[must_use]
pub fn processes(gate: &Gate) -> Value {
    let policy = gate.policy();
    let models = policy.as_deref().map_or_else(Vec::new, |policy| {
        let up = policy.models().iter().filter(|model| gate.is_up(model));
        up.map(|model| {
            let mut entry = entry(&model.name, model, policy);
            entry["expires_at"] = json!(time(policy.serve_until_s()));
            entry["size_vram"] = json!(0);
            entry["context_length"] = json!(model.context_tokens);
            entry
        })
        .collect()
    });
    json!({"models": models})
}

/// `POST /api/show`: by `model`, or `name` as older clients say.
///
/// # Errors
/// [`Code::RequestInvalid`] and [`Code::ModelUnknown`].
pub fn show(body: &[u8], policy: &Policy) -> Result<Value, Refusal> {
    let mut fields = Fields::parse(body)?;
    let older = fields.text("name")?;
    let name = fields.text("model")?.or(older);
    let name = name.ok_or_else(|| Refusal::new(Code::RequestInvalid, "model must be given, as a string"))?;
    let model = policy.model(&name)?;
    let architecture = filled(&model.architecture);
    let mut info = json!({
        "general.architecture": architecture,
        "general.basename": model.name,
        "general.name": model.name,
        "general.type": "model",
    });
    info[format!("{architecture}.context_length")] = json!(model.context_tokens);
    Ok(json!({
        "license": format!("{}: croft models shows its license and who approved it", model.bundle),
        "modelfile": "",
        "parameters": format!("num_ctx {}\ntemperature {}", model.context_tokens, model.temperature),
        "template": model.template,
        "details": details(model),
        "model_info": info,
        "capabilities": ["completion"],
        "modified_at": time(policy.received_at_s()),
    }))
}

fn named(policy: &Policy) -> impl Iterator<Item = (&str, &ServedModel)> {
    policy.models().iter().flat_map(|model| {
        std::iter::once(&model.name).chain(&model.aliases).map(move |name| (name.as_str(), model))
    })
}

fn entry(name: &str, model: &ServedModel, policy: &Policy) -> Value {
    json!({
        "name": name,
        "model": name,
        "modified_at": time(policy.received_at_s()),
        "size": model.len_bytes,
        // Ollama writes the digest without its kind.
        "digest": model.digest.strip_prefix("sha256:").unwrap_or(&model.digest),
        "details": details(model),
    })
}

fn details(model: &ServedModel) -> Value {
    let family = filled(&model.architecture);
    json!({
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": parameter_size(&model.name),
        "quantization_level": filled(&model.quantization),
    })
}

fn filled(text: &str) -> &str {
    if text.is_empty() { "unknown" } else { text }
}

fn time(unix_s: u64) -> String {
    rfc3339(i64::try_from(unix_s).unwrap_or(0), 0)
}

/// The size that the name states, such as `0.5B`; names are approved, so this is the publisher's word.
fn parameter_size(name: &str) -> String {
    let part = name.split(['-', '_', ':', '@', ' ']).find_map(|part| {
        let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
        let number = number.trim_start_matches(|c: char| c.is_ascii_alphabetic());
        let is_size = !number.is_empty()
            && number.parse::<f32>().is_ok()
            && (unit.eq_ignore_ascii_case("b") || unit.eq_ignore_ascii_case("m"));
        is_size.then(|| format!("{number}{}", unit.to_ascii_uppercase()))
    });
    part.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use croft_proto::frames::GatewayPolicy;

    use super::super::super::clock::Moment;
    use super::*;

    fn policy() -> Policy {
        let model = ServedModel {
            name: "qwen2.5-coder-0.5b".into(),
            aliases: vec!["chat".into()],
            bundle: "qwen@1".into(),
            digest: format!("sha256:{}", "ab".repeat(32)),
            len_bytes: 42,
            architecture: "qwen2".into(),
            context_tokens: 4096,
            template: "{{ messages }}".into(),
            ..ServedModel::default()
        };
        let policy = GatewayPolicy { models: vec![model], ..GatewayPolicy::default() };
        Policy::parse(policy, Moment { wall_s: 0, boottime_ms: 0 })
    }

    #[test]
    fn every_detail_is_a_filled_text() {
        let tags = tags(Some(&policy()));
        let models = tags["models"].as_array().expect("a list");
        assert_eq!(models.len(), 2);
        for model in models {
            for name in ["format", "family", "parameter_size", "quantization_level"] {
                assert!(model["details"][name].as_str().is_some_and(|text| !text.is_empty()), "{name}");
            }
            assert_eq!(model["digest"].as_str().map(str::len), Some(64));
        }
        assert_eq!(models[0]["details"]["parameter_size"], "0.5B");
        assert_eq!(tags["models"][1]["name"], "chat");
    }

    #[test]
    fn show_has_what_copilot_reads() {
        for body in [r#"{"model": "chat"}"#, r#"{"name": "qwen2.5-coder-0.5b:latest"}"#] {
            let shown = show(body.as_bytes(), &policy()).map_err(|refusal| refusal.message).expect(body);
            assert_eq!(shown["model_info"]["general.architecture"], "qwen2");
            assert_eq!(shown["model_info"]["qwen2.context_length"], 4096);
            assert_eq!(shown["model_info"]["general.basename"], "qwen2.5-coder-0.5b");
            assert_eq!(shown["capabilities"], json!(["completion"]));
        }
        assert!(show(b"{}", &policy()).is_err());
        assert!(
            show(br#"{"model": "x"}"#, &policy()).is_err_and(|refusal| refusal.code == Code::ModelUnknown)
        );
    }

    #[test]
    fn sizes_are_read_from_names() {
        for (name, size) in
            [("a-7B", "7B"), ("x-135m-q4", "135M"), ("plain", "unknown"), ("b", "unknown"), ("q8", "unknown")]
        {
            assert_eq!(parameter_size(name), size, "{name}");
        }
    }
}
