//! What this runtime makes of a template: the probe set, rendered as requests are.
//!
//! The texts go through as they are, without the placeholders that keep control tokens apart: what is compared is the
//! renderer, and placeholders differ from request to request.

use croft_domain::probe::{Call, PROBE_DATE, PROBE_TOOLS, PROBES, Probe, Turn};
use llama_cpp_2::model::LlamaModel;
use serde_json::{Value, json};

use crate::engine::jinja::Jinja;
use crate::engine::template::Template;
use crate::limits::RENDERING_LEN_MAX;

/// Renders every probe, in order. None for each that the template refuses, and for all if llama.cpp cannot read it.
#[must_use]
pub fn render(model: &LlamaModel, template: &Template) -> Vec<Option<String>> {
    let Some(jinja) = Jinja::new(model, &dated(template.source())) else {
        return vec![None; PROBES.len()];
    };
    let tools: Value = serde_json::from_str(PROBE_TOOLS).unwrap_or_default();
    let render = |probe: &Probe| {
        // As in `Layout::lay_out`: forms of answers are worked out where tools may be called, and where it cannot be
        // done the plain rendering is what would be told.
        let mut request = request(probe, &tools);
        let mut rendered = jinja.render(&request);
        if rendered.is_none() && probe.tools {
            request["plain"] = true.into();
            rendered = jinja.render(&request);
        }
        rendered.map(|rendered| rendered.prompt).filter(|prompt| prompt.len() <= RENDERING_LEN_MAX)
    };
    PROBES.iter().map(render).collect()
}

/// The template with its clock stopped. llama.cpp reads the machine's, whatever it is told.
fn dated(source: &str) -> String {
    if !source.contains("strftime_now") {
        return source.to_owned();
    }
    // The expression behind it keeps the template's own first line break from being trimmed with the block's.
    format!("{{% macro strftime_now(format) %}}{PROBE_DATE}{{% endmacro %}}{{{{ '' }}}}{source}")
}

fn request(probe: &Probe, tools: &Value) -> Value {
    let messages: Vec<Value> = probe.turns.iter().map(message).collect();
    let mut request = json!({
        "messages": messages,
        "plain": !probe.tools,
        "parallel": true,
        "open": probe.generate,
        "date": PROBE_DATE,
    });
    if probe.tools {
        request["tools"] = tools.clone();
        request["tool_choice"] = "auto".into();
    }
    request
}

fn message(turn: &Turn) -> Value {
    let mut message = json!({"role": turn.role, "content": turn.content});
    if !turn.calls.is_empty() {
        message["tool_calls"] = turn.calls.iter().map(call).collect();
    }
    if !turn.call_id.is_empty() {
        message["tool_call_id"] = turn.call_id.into();
    }
    message
}

fn call(call: &Call) -> Value {
    let Call { id, name, arguments } = *call;
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_probe_is_a_request_and_its_json_is_json() {
        let tools: Value = serde_json::from_str(PROBE_TOOLS).expect("JSON");
        for probe in PROBES {
            let request = request(probe, &tools);
            assert_eq!(request["messages"].as_array().expect("messages").len(), probe.turns.len());
            assert_eq!(request["tools"].is_array(), probe.tools, "{}", probe.name);
            for call in probe.turns.iter().flat_map(|turn| turn.calls) {
                assert!(serde_json::from_str::<Value>(call.arguments).expect("JSON").is_object());
            }
        }
    }

    #[test]
    fn only_templates_that_ask_for_the_date_are_changed() {
        assert_eq!(dated("{{ x }}"), "{{ x }}");
        assert!(dated("{{ strftime_now('%d') }}").ends_with("{{ '' }}{{ strftime_now('%d') }}"));
    }
}
