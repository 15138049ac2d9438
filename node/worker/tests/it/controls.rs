//! Control tokens that somebody typed are text, wherever they stand, in the vocabularies that families of models have;
//! and what the model says is whole characters.
//!
//! Every byte is one token in these vocabularies, so that a mark which became a control token would be one token
//! instead of as many as it has bytes.

use croft_proto::frames::{
    ChatMessage, Conversation, Generate, Infill, Sampling, from_worker, generate::Format, generate::Input,
};
use serde_json::json;

use crate::families::{CHATML, GEMMA, LLAMA3, Style, model};
use crate::peer::{Answer, Setup, Worker, question, raw};

const STYLES: [&Style; 3] = [&CHATML, &LLAMA3, &GEMMA];

fn start(style: &Style) -> (Worker, tempfile::NamedTempFile) {
    let file = model(style);
    let path = file.path().to_str().expect("a path").to_owned();
    let mut worker =
        Worker::spawn(&Setup { model: &path, template: style.template, context: 2048, ..Setup::default() });
    let ready = worker.hear_ready();
    assert_eq!((ready.chat, ready.infill), (true, style.infill.is_some()), "{}", style.name);
    (worker, file)
}

fn prompt_tokens(answer: &Answer) -> usize {
    assert!(answer.failed.is_none(), "{:?}", answer.failed);
    usize::try_from(answer.finished.as_ref().expect("finished").prompt_tokens).expect("small")
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage { role: role.into(), content: content.into(), ..ChatMessage::default() }
}

fn tools(text: &str) -> String {
    let parameters = json!({"type": "object", "properties": {"x": {"type": "string", "description": text}}});
    json!([{"type": "function", "function": {"name": "look", "description": text, "parameters": parameters}}])
        .to_string()
}

/// Requests with `text` in one place each, and how often it stands there.
fn places(style: &Style, text: &str) -> Vec<(&'static str, Generate, usize)> {
    let talk = |messages: Vec<ChatMessage>| Generate {
        input: Some(Input::Chat(Conversation { messages })),
        max_tokens: 1,
        ..question(1, "")
    };
    let user = || message("user", "a");
    let mut places = vec![
        ("user", talk(vec![message("user", &format!("a{text}b"))]), 1),
        ("user, alone", talk(vec![message("user", text)]), 1),
        ("system", talk(vec![message("system", &format!("a{text}b")), user()]), 1),
        ("assistant", talk(vec![user(), message("assistant", &format!("a{text}b")), user()]), 1),
        ("raw prompt", Generate { max_tokens: 1, ..raw(1, &format!("a{text}b")) }, 1),
    ];
    if style.infill.is_some() {
        let infill = |prefix: String, suffix: String| Generate {
            input: Some(Input::Infill(Infill { prefix, suffix })),
            max_tokens: 1,
            ..question(1, "")
        };
        places.push(("infill prefix", infill(format!("a{text}b"), "c".into()), 1));
        places.push(("infill suffix", infill("c".into(), format!("a{text}b")), 1));
    }
    if style.template.contains("tools") {
        places.push(("tool", Generate { tools_json: tools(text), ..talk(vec![user()]) }, 2));
        let call = json!([{"id": "call00001", "type": "function",
            "function": {"name": "look", "arguments": json!({"x": text}).to_string()}}]);
        let called = ChatMessage { tool_calls_json: call.to_string(), ..message("assistant", "") };
        let gave =
            |content: &str| ChatMessage { tool_call_id: "call00001".into(), ..message("tool", content) };
        let asked = |messages| Generate { tools_json: tools(""), ..talk(messages) };
        places.push(("arguments of a call", asked(vec![user(), called, gave("ok")]), 1));
        let plain =
            ChatMessage { tool_calls_json: call.to_string().replace(text, ""), ..message("assistant", "") };
        places.push(("result of a tool", asked(vec![user(), plain, gave(&format!("a{text}b"))]), 1));
    }
    places
}

#[test]
fn p2_control_tokens_are_text_wherever_they_are_typed() {
    for style in STYLES {
        let (mut worker, _file) = start(style);
        for mark in style.controls {
            // As many bytes, and no control token.
            let harmless = "x".repeat(mark.len());
            for ((place, typed, _), (_, plain, _)) in
                places(style, mark).into_iter().zip(places(style, &harmless))
            {
                let is_meant =
                    place == "raw prompt" && style.infill.is_some_and(|marks| marks.contains(mark));
                let (typed, plain) = (worker.answer(typed), worker.answer(plain));
                let difference = prompt_tokens(&plain) - prompt_tokens(&typed);
                // Editors write infill marks into raw prompts themselves.
                let expected = if is_meant { mark.len() - 1 } else { 0 };
                assert_eq!(difference, expected, "{}: {mark} in {place}", style.name);
            }
        }
    }
}

#[test]
fn p2_text_that_a_template_puts_together_makes_no_control_token() {
    // Two harmless halves that the template joins, and a mark that appears when it cuts something away.
    let template = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content.replace('~', '') + '<|im_end|>\n' }}\
        {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
    let file = model(&CHATML);
    let path = file.path().to_str().expect("a path").to_owned();
    let mut worker = Worker::spawn(&Setup { model: &path, template, context: 2048, ..Setup::default() });
    worker.hear_ready();
    let mut ask = |text: &str| worker.answer(Generate { max_tokens: 1, ..question(1, text) });
    let plain = prompt_tokens(&ask(&"x".repeat("<|im_end|>".len())));
    for joined in ["<|im~_end|>", "~<|im_end|>", "<|im_end|>~"] {
        let answer = ask(joined);
        // It is refused, or told as it was typed.
        if answer.failed.is_none() {
            assert!(prompt_tokens(&answer) >= plain, "{joined}: {} tokens", prompt_tokens(&answer));
        } else {
            assert_eq!(answer.code(), "E-REQUEST-UNSUPPORTED", "{joined}");
        }
    }
}

#[test]
fn answers_are_whole_characters_though_tokens_are_bytes() {
    let text = "f\u{fc}r \u{65e5}\u{672c} \u{1f9ea} e\u{301}";
    for style in STYLES {
        let (mut worker, _file) = start(style);
        let form = Format::Grammar(format!("root ::= \"{text}\""));
        worker.ask(Generate { format: Some(form), ..question(1, "say it") });
        let mut shown = Vec::new();
        loop {
            let frame = worker.frame().expect("the worker lives");
            let from_worker::Frame::Step(step) = frame else { panic!("{frame:?}") };
            let ended = step.pieces.iter().any(|piece| piece.finished.is_some());
            shown.extend(step.pieces.into_iter().map(|piece| piece.text).filter(|text| !text.is_empty()));
            if ended {
                break;
            }
        }
        assert_eq!(shown.concat(), text, "{}", style.name);
        assert!(shown.iter().all(|piece| !piece.contains('\u{fffd}')), "{shown:?}");
        assert!(shown.len() > 8, "it streams: {shown:?}");
    }
}

#[test]
fn bytes_that_are_no_text_are_replaced_and_nothing_breaks() {
    for style in STYLES {
        let (mut worker, _file) = start(style);
        for seed in 1..=4 {
            let sampling = Some(Sampling { temperature: 5.0, seed, ..Sampling::default() });
            let random = Generate { sampling, max_tokens: 200, ignore_eos: true, ..question(seed, "a") };
            let answer = worker.answer(random);
            assert_eq!((answer.reason(), answer.tokens), ("length", 200), "{}", style.name);
            // Random bytes are not UTF-8, and a frame carries nothing else.
            assert!(answer.text.contains('\u{fffd}'), "{}", style.name);
        }
        // What comes in as odd characters is no harm either.
        for odd in ["\0", "\u{fffe}\u{202e}\u{feff}", "\u{10ffff}", "a\u{301}\u{301}\u{301}", "\r\n\t\u{b}"] {
            let answer = worker.answer(Generate { max_tokens: 1, ..question(9, odd) });
            assert!(
                answer.failed.is_none() || answer.code().starts_with("E-REQUEST-"),
                "{odd:?}: {answer:?}"
            );
        }
    }
}
