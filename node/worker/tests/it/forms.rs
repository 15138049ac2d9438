//! Answers of a given form: JSON, grammars, calls of tools; and what the model says about its tokens.

use std::io::{Read as _, Seek as _};

use croft_proto::frames::{
    ChatMessage, Conversation, Generate, Infill, LogitBias, Sampling, generate, worker_report,
};
use serde_json::{Value, json};

use crate::peer::{Answer, Setup, Worker, chat, question, raw};

/// As the templates of the Hermes and Qwen families do it, shortened.
const TOOL_TEMPLATE: &str = r##"{%- if tools %}{{- '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\n\n' }}{%- endif %}
{{- "# Tools\n\nYou may call one or more functions.\n\n<tools>" }}
{%- for tool in tools %}{{- "\n" }}{{- tool | tojson }}{%- endfor %}
{{- "\n</tools>\n\nFor each function call, return a json object within <tool_call></tool_call> XML tags:\n<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call><|im_end|>\n" }}
{%- elif messages[0].role == 'system' %}{{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'assistant' %}{{- '<|im_start|>' + message.role }}
{%- if message.content %}{{- '\n' + message.content }}{%- endif %}
{%- for tool_call in message.tool_calls %}{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}
{{- '\n<tool_call>\n{"name": "' + tool_call.name + '", "arguments": ' }}{{- tool_call.arguments | tojson }}{{- '}\n</tool_call>' }}{%- endfor %}
{{- '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"##;

const TOOLS: &str = r#"[{"type":"function","function":{"name":"count_rows","description":"Counts rows",
    "parameters":{"type":"object","properties":{"table":{"type":"string","enum":["cars","orders"]},
    "limit":{"type":"integer","minimum":1,"maximum":9}},"required":["table","limit"]}}}]"#;

fn with_tools() -> Worker {
    Worker::spawn(&Setup { template: TOOL_TEMPLATE, ..Setup::default() }).ready()
}

fn formed(request: u64, format: generate::Format) -> Generate {
    Generate { format: Some(format), max_tokens: 200, ..question(request, "list all orders") }
}

/// Name and arguments of the calls, put together from their deltas.
fn calls(answer: &Answer) -> Vec<(String, String, String)> {
    let mut calls: Vec<(String, String, String)> = Vec::new();
    for delta in &answer.calls {
        let index = usize::try_from(delta["index"].as_u64().expect("index")).expect("small");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        if index == calls.len() {
            calls.push((text(&delta["id"]), text(&delta["function"]["name"]), String::new()));
        }
        calls[index].2.push_str(&text(&delta["function"]["arguments"]));
    }
    calls
}

#[test]
fn a_required_call_has_a_declared_name_and_arguments_of_its_schema() {
    let mut worker = with_tools();
    let ask = |request, choice: &str| Generate {
        tools_json: TOOLS.into(),
        tool_choice: choice.into(),
        max_tokens: 200,
        ..question(request, "how many cars are there")
    };
    for (request, choice) in [(1, "required"), (2, "count_rows")] {
        let answer = worker.answer(ask(request, choice));
        assert!(answer.failed.is_none(), "{:?}", answer.failed);
        assert_eq!(answer.reason(), "tool_calls", "{answer:?}");
        let calls = calls(&answer);
        assert_eq!((calls.len(), calls[0].1.as_str()), (1, "count_rows"), "{answer:?}");
        assert!(calls[0].0.starts_with("call_"));
        let arguments: Value = serde_json::from_str(&calls[0].2).expect("arguments are JSON");
        assert!(["cars", "orders"].contains(&arguments["table"].as_str().expect("table")), "{arguments}");
        assert!((1..=9).contains(&arguments["limit"].as_i64().expect("limit")), "{arguments}");
        assert!(answer.text.trim().is_empty(), "{}", answer.text);
    }
    // Left to itself, this model has never seen a tool and answers in text.
    let answer = worker.answer(ask(3, ""));
    assert!(answer.failed.is_none(), "{:?}", answer.failed);
    assert!(!answer.text.is_empty() || answer.reason() == "tool_calls");
    let none = worker.answer(ask(4, "none"));
    assert!(none.failed.is_none() && none.calls.is_empty(), "{none:?}");
}

#[test]
fn what_tools_answered_is_part_of_the_conversation() {
    let mut worker = with_tools();
    let message = |role: &str, content: &str| ChatMessage {
        role: role.into(),
        content: content.into(),
        ..ChatMessage::default()
    };
    let call = json!([{"id": "1", "type": "function",
        "function": {"name": "count_rows", "arguments": "{\"table\": \"cars\", \"limit\": 1}"}}]);
    let messages = vec![
        message("user", "how many cars are there"),
        ChatMessage { tool_calls_json: call.to_string(), ..message("assistant", "") },
        ChatMessage { tool_call_id: "1".into(), ..message("tool", "42") },
    ];
    let ask = |request, messages: Vec<ChatMessage>| Generate {
        input: Some(generate::Input::Chat(Conversation { messages })),
        tools_json: TOOLS.into(),
        max_tokens: 20,
        ..question(request, "")
    };
    let answer = worker.answer(ask(1, messages.clone()));
    assert!(answer.failed.is_none(), "{:?}", answer.failed);
    let shorter = worker.answer(ask(2, messages[..1].to_vec()));
    let len = |answer: &Answer| answer.finished.clone().expect("finished").prompt_tokens;
    assert!(len(&answer) > len(&shorter) + 20);
    let mut broken = messages;
    broken[1].tool_calls_json = "[{]".into();
    assert_eq!(worker.answer(ask(3, broken)).code(), "E-REQUEST-INVALID");
}

#[test]
fn p2_control_tokens_in_tools_are_text() {
    let mut worker = with_tools();
    let tokens = |worker: &mut Worker, request, description: &str, content: &str| {
        let tools = TOOLS.replace("Counts rows", description);
        let answer =
            worker.answer(Generate { tools_json: tools, max_tokens: 1, ..question(request, content) });
        answer.finished.expect("finished").prompt_tokens
    };
    let plain = tokens(&mut worker, 1, "a", "b");
    for (request, mark) in (2..).step_by(2).zip(["<|im_end|>", "<|im_start|>", "</s>", "<unk>"]) {
        assert!(tokens(&mut worker, request, &format!("a{mark}"), "b") > plain + 1, "{mark} in a tool");
        assert!(
            tokens(&mut worker, request + 1, "a", &format!("b{mark}")) > plain + 1,
            "{mark} in a message"
        );
    }
}

#[test]
fn answers_have_the_form_that_was_asked_for() {
    let mut worker = Worker::start(2).ready();
    let schema = json!({"type": "object", "additionalProperties": false, "required": ["kind", "rows"],
        "properties": {"kind": {"enum": ["sql", "regex"]}, "rows": {"type": "array", "maxItems": 3,
            "items": {"type": "integer", "minimum": 0, "maximum": 99}}}});
    let answer = worker.answer(formed(1, generate::Format::JsonSchema(schema.to_string())));
    let value: Value = serde_json::from_str(&answer.text).expect("JSON");
    assert!(["sql", "regex"].contains(&value["kind"].as_str().expect("kind")), "{value}");
    assert!(value["rows"].as_array().expect("rows").len() <= 3, "{value}");
    assert_eq!(answer.reason(), "stop");
    let grammar = r#"root ::= ("yes" | "no") " " [0-9]{3}"#;
    let answer = worker.answer(formed(2, generate::Format::Grammar(grammar.into())));
    assert!(answer.text.starts_with("yes ") || answer.text.starts_with("no "), "{}", answer.text);
    assert!(answer.text.len() <= 7 && answer.reason() == "stop");
    // A model this small does not end an object by itself, but it begins one.
    let object = worker.answer(formed(3, generate::Format::JsonObject(true)));
    assert!(object.text.trim_start().starts_with('{'), "{}", object.text);
    let sampled = Generate {
        sampling: Some(Sampling { temperature: 1.5, seed: 3, ..Sampling::default() }),
        ..formed(4, generate::Format::JsonSchema(schema.to_string()))
    };
    let sampled = worker.answer(sampled);
    serde_json::from_str::<Value>(&sampled.text).expect("also at a high temperature");
}

#[test]
fn p6_forms_that_are_none_are_refused_without_repeating_them() {
    let mut said = tempfile::tempfile().expect("temporary file");
    let mut worker = Worker::spawn(&Setup { stderr: Some(&said), ..Setup::default() }).ready();
    let secret = "xyzzy";
    let bad = [
        formed(1, generate::Format::Grammar(format!("root ::= {secret} ::= (("))),
        formed(1, generate::Format::Grammar(format!("root ::= root \"{secret}\""))),
        formed(1, generate::Format::Grammar("x".repeat(70_000))),
        formed(1, generate::Format::JsonSchema(format!("{{\"{secret}\""))),
        formed(1, generate::Format::JsonSchema("[".repeat(60_000))),
        formed(1, generate::Format::JsonSchema(json!({"$ref": "https://example.com/x"}).to_string())),
        Generate { tools_json: secret.into(), ..question(1, "hi") },
        Generate { tool_choice: secret.into(), ..question(1, "hi") },
        Generate { top_logprobs: 21, logprobs: true, ..question(1, "hi") },
        Generate { logit_bias: vec![LogitBias { token: 1_000_000, bias: 1.0 }], ..question(1, "hi") },
        Generate { logit_bias: vec![LogitBias { token: 1, bias: f32::NAN }], ..question(1, "hi") },
        Generate { ignore_eos: true, ..formed(1, generate::Format::JsonObject(true)) },
        Generate { tools_json: TOOLS.into(), ..raw(1, "hi") },
        Generate { tools_json: TOOLS.into(), ..formed(1, generate::Format::JsonObject(true)) },
    ];
    for wire in bad {
        let answer = worker.answer(wire);
        let failed = answer.failed.expect("refused");
        assert!(failed.code.starts_with("E-REQUEST-"), "{failed:?}");
        assert!(!failed.message.contains(secret), "{}", failed.message);
    }
    assert_eq!(worker.answer(question(2, "hello")).reason(), "stop");
    assert!(worker.close().success());
    let mut text = String::new();
    said.rewind().expect("a file");
    said.read_to_string(&mut text).expect("text");
    assert_eq!(text, "", "llama.cpp prints grammars that it cannot read");
}

#[test]
fn p9_forms_that_would_never_end_are_refused_and_the_worker_lives() {
    let mut worker = Worker::start(1).ready();
    let wide: serde_json::Map<_, _> =
        (0..1500).map(|n| (format!("p{n}"), json!({"type": "string"}))).collect();
    let bad = [
        generate::Format::JsonSchema(json!({"type": "object", "properties": wide}).to_string()),
        generate::Format::JsonSchema(json!({"pattern": "^(((((a?){99}){99}){99}){99})$"}).to_string()),
        generate::Format::Grammar(format!("root ::= {}", "(\"a\" | \"a\")? ".repeat(300))),
        generate::Format::Grammar(format!("root ::= {}\"b\"{}", "(".repeat(25_000), ")".repeat(25_000))),
    ];
    for form in bad {
        let answer = worker.answer(formed(1, form));
        assert!(answer.failed.is_none() || answer.code() == "E-REQUEST-INVALID", "{answer:?}");
    }
    assert_eq!(worker.answer(question(2, "hello")).reason(), "stop");
}

#[test]
fn probabilities_are_those_of_the_model_and_biases_change_its_choice() {
    let mut worker = Worker::start(1).ready();
    let ask = |request, bias: Vec<LogitBias>| Generate {
        logprobs: true,
        top_logprobs: 3,
        logit_bias: bias,
        max_tokens: 4,
        ..question(request, "list all orders")
    };
    let plain = worker.answer(ask(1, Vec::new()));
    assert_eq!(plain.logprobs.len(), 4);
    for token in &plain.logprobs {
        assert!(token.logprob <= 0.0 && token.top.len() == 3);
        assert_eq!(token.text, token.top[0].text, "greedy takes the likeliest");
        assert!((token.logprob - token.top[0].logprob).abs() < 1e-4);
        assert!(token.top[0].logprob >= token.top[1].logprob);
    }
    let shown: Vec<u8> = plain.logprobs.iter().flat_map(|token| token.text.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&shown), plain.text);
    // Every token that it could begin with, banned one after another, is another beginning.
    let banned: Vec<_> = (0..1024).map(|token| LogitBias { token, bias: -100.0 }).collect();
    let other = worker.answer(ask(2, banned[..1000].to_vec()));
    assert_ne!(other.text, plain.text);
    let wanted = LogitBias { token: 900, bias: 100.0 };
    let same = worker.answer(ask(3, vec![wanted]));
    assert!(same.logprobs.windows(2).all(|two| two[0].text == two[1].text), "{:?}", same.text);
}

#[test]
fn a_gap_is_filled_between_two_texts() {
    let mut worker = Worker::start(1).ready();
    let infill = |request, prefix: &str, suffix: &str| Generate {
        input: Some(generate::Input::Infill(Infill { prefix: prefix.into(), suffix: suffix.into() })),
        max_tokens: 60,
        ..question(request, "")
    };
    let prefix = "SELECT name FROM ";
    let marked = worker.answer(Generate {
        max_tokens: 60,
        ..raw(1, "<|fim_prefix|>SELECT name FROM <|fim_suffix|> WHERE id = 3;<|fim_middle|>")
    });
    let filled = worker.answer(infill(2, prefix, " WHERE id = 3;"));
    assert_eq!((filled.text.as_str(), filled.reason()), (marked.text.as_str(), "stop"));
    let typed = worker.answer(infill(3, "a<|fim_suffix|>", "b"));
    let plain = worker.answer(infill(4, "a", "b"));
    let len = |answer: &Answer| answer.finished.clone().expect("finished").prompt_tokens;
    assert!(len(&typed) > len(&plain) + 2, "a mark in a text is text");
}

#[test]
fn thoughts_are_told_apart_from_the_answer() {
    let template = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and m.reasoning_content %}\
        {{ '<think>\n' + m.reasoning_content + '\n</think>\n\n' }}{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}\
        {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let mut worker = Worker::spawn(&Setup { template, ..Setup::default() }).ready();
    let answer = worker.answer(question(1, "list all orders"));
    assert!(answer.failed.is_none(), "{:?}", answer.failed);
    assert_eq!((answer.text.as_str(), answer.reasoning.as_str()), ("SELECT * FROM orders;", ""));
}

#[test]
fn templates_may_trim_and_look_at_contents() {
    let template = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content | trim).split('</think>')[-1] \
        + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let mut worker = Worker::spawn(&Setup { template, ..Setup::default() }).ready();
    let mut len = |request, text: &str| {
        let answer = worker.answer(Generate { max_tokens: 1, ..question(request, text) });
        answer.finished.expect("finished").prompt_tokens
    };
    let plain = len(1, "list all orders");
    assert_eq!(len(2, "  list all orders\n\n"), plain);
    assert_eq!(len(3, "some thoughts</think>list all orders"), plain);
    // The template's own trick, turned against it: what is cut away must not free a control token.
    assert!(len(4, "<|im_</think>list all orders") == plain);
    assert!(len(5, "list all orders<|im_end|>") > plain + 2);
}

#[test]
fn what_a_worker_can_do_is_in_its_first_frame() {
    let mut worker = Worker::start(1);
    let ready = worker.hear_ready();
    assert!(ready.chat && ready.infill);
    assert!(matches!(worker.reports().last(), Some(worker_report::Message::Ready(_))));
    assert_eq!(worker.answer(chat(1, &[("user", "hello")])).reason(), "stop");
}
