//! What editors ask before they show a model: version, tags, show, processes. Every text of `details` is there, because
//! clients demand them, and says what the signed manifest says.

use croft_domain::code::Code;
use croft_proto::frames::{Ready, ServedModel};
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

/// `GET /api/ps`: models whose process is up, and until when at the latest.
#[must_use]
pub fn processes(gate: &Gate) -> Value {
    let policy = gate.policy();
    let models = policy.as_deref().map_or_else(Vec::new, |policy| {
        let up = policy.models().iter().filter(|model| gate.is_up(model));
        up.map(|model| {
            let mut entry = entry(&model.name, model, policy);
            let rests_at_s =
                gate.slot_of(model).ok().and_then(|slot| slot.rests_at_s(policy.keep_alive_s(None)));
            let until_s = rests_at_s.map_or(policy.serve_until_s(), |at| at.min(policy.serve_until_s()));
            entry["expires_at"] = json!(time(until_s));
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
pub fn show(
    body: &[u8],
    policy: &Policy,
    abilities: impl Fn(&ServedModel) -> Option<Ready>,
) -> Result<Value, Refusal> {
    let mut fields = Fields::parse(body)?;
    let older = fields.text("name")?;
    let name = fields.text("model")?.or(older);
    let name = name.ok_or_else(|| Refusal::new(Code::RequestInvalid, "model must be given, as a string"))?;
    let model = policy.model(&name)?;
    let abilities = abilities(model);
    let capabilities = capabilities(model, abilities.as_ref());
    let mut template = model.template.clone();
    if capabilities.contains(&"insert") {
        // Continue looks for this word before it asks for insertions.
        template.push_str("{# .Suffix #}");
    }
    Ok(json!({
        "license": model.license,
        "modelfile": format!("# {}, approved by your organization: croft models shows it\n", model.bundle),
        "parameters": format!("num_ctx {}\ntemperature {}", model.context_tokens, model.temperature),
        "template": template,
        "details": details(model),
        "model_info": model_info(model, abilities.as_ref()),
        "capabilities": capabilities,
        "modified_at": time(policy.received_at_s()),
    }))
}

fn model_info(model: &ServedModel, abilities: Option<&Ready>) -> Value {
    let architecture = &model.architecture;
    let mut info = json!({
        "general.architecture": architecture,
        "general.basename": model.name,
        "general.name": model.name,
        "general.type": "model",
    });
    // What a request may use here, and not what the model was trained for.
    info[format!("{architecture}.context_length")] = json!(model.context_tokens);
    if model.parameter_count > 0 {
        info["general.parameter_count"] = json!(model.parameter_count);
    }
    if let Some(len) = abilities.map(|ready| ready.embedding_len).filter(|len| *len > 0) {
        info[format!("{architecture}.embedding_length")] = json!(len);
    }
    info
}

/// What the model can do: its worker says it; before it has said anything, the approved template does.
fn capabilities(model: &ServedModel, abilities: Option<&Ready>) -> Vec<&'static str> {
    let has_template = !model.template.is_empty();
    let reads_only = |ready: &Ready| (ready.embedding_len > 0 || ready.ranks) && !ready.infill;
    let writes = has_template || !abilities.is_some_and(reads_only);
    [
        ("completion", writes),
        ("tools", has_template && model.template.contains("tools")),
        ("insert", abilities.is_some_and(|ready| ready.infill)),
        ("embedding", abilities.is_some_and(|ready| ready.embedding_len > 0)),
        ("rerank", abilities.is_some_and(|ready| ready.ranks)),
    ]
    .into_iter()
    .filter_map(|(name, is_so)| is_so.then_some(name))
    .collect()
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
    let family = &model.architecture;
    json!({
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": parameter_size(model.parameter_count),
        "quantization_level": model.quantization,
    })
}

fn time(unix_s: u64) -> String {
    rfc3339(i64::try_from(unix_s).unwrap_or(0), 0)
}

/// As Ollama writes it: `7.6B`, `494.03M`, `52K`. Empty where the manifest does not say.
#[allow(clippy::cast_precision_loss)] // Two digits are shown.
fn parameter_size(count: u64) -> String {
    match count as f64 {
        0.0 => String::new(),
        count if count >= 1e9 => format!("{:.1}B", count / 1e9),
        count if count >= 1e6 => format!("{:.2}M", count / 1e6),
        count => format!("{:.0}K", (count / 1e3).max(1.0)),
    }
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
            template: "{{ messages }}{{ tools }}".into(),
            quantization: "Q4_K_M".into(),
            parameter_count: 494_032_768,
            license: "Apache-2.0".into(),
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
        assert_eq!(models[0]["details"]["parameter_size"], "494.03M");
        assert_eq!(tags["models"][1]["name"], "chat");
    }

    #[test]
    fn show_has_what_copilot_reads() {
        let ready = Ready { infill: true, embedding_len: 896, chat: true, ..Ready::default() };
        for body in [r#"{"model": "chat"}"#, r#"{"name": "qwen2.5-coder-0.5b:latest"}"#] {
            let shown = show(body.as_bytes(), &policy(), |_| Some(ready.clone()));
            let shown = shown.map_err(|refusal| refusal.message).expect(body);
            assert_eq!(shown["model_info"]["general.architecture"], "qwen2");
            assert_eq!(shown["model_info"]["qwen2.context_length"], 4096);
            assert_eq!(shown["model_info"]["qwen2.embedding_length"], 896);
            assert_eq!(shown["model_info"]["general.basename"], "qwen2.5-coder-0.5b");
            assert_eq!(shown["capabilities"], json!(["completion", "tools", "insert", "embedding"]));
            assert!(shown["template"].as_str().is_some_and(|template| template.contains(".Suffix")));
            assert!(!shown.to_string().contains("unknown"), "{shown}");
        }
        let resting = show(br#"{"model": "chat"}"#, &policy(), |_| None).map_err(|refusal| refusal.message);
        assert_eq!(resting.expect("shown")["capabilities"], json!(["completion", "tools"]));
        assert!(show(b"{}", &policy(), |_| None).is_err());
        let unknown = show(br#"{"model": "x"}"#, &policy(), |_| None);
        assert!(unknown.is_err_and(|refusal| refusal.code == Code::ModelUnknown));
    }

    #[test]
    fn a_model_that_only_reads_says_so() {
        let model = ServedModel { template: String::new(), ..ServedModel::default() };
        let ready = Ready { embedding_len: 384, ..Ready::default() };
        assert_eq!(capabilities(&model, Some(&ready)), ["embedding"]);
        let ready = Ready { ranks: true, ..Ready::default() };
        assert_eq!(capabilities(&model, Some(&ready)), ["rerank"]);
    }

    #[test]
    fn sizes_are_written_as_ollama_does() {
        for (count, size) in
            [(7_615_616_512, "7.6B"), (494_032_768, "494.03M"), (52_000, "52K"), (3, "1K"), (0, "")]
        {
            assert_eq!(parameter_size(count), size);
        }
    }
}
