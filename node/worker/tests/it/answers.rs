//! What a user gets: exact answers, alone and together, from the cache and past it.

use croft_proto::frames::{Generate, Sampling, from_worker};

use crate::peer::{STARTER, Setup, Worker, chat, question, raw};

/// Prompts whose greedy answers the recipe's own evaluation found exact, with the answers.
fn exact() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(format!("{STARTER}heldout.jsonl")).expect("held-out prompts");
    let rows = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
    let field = |row: &serde_json::Value, name: &str| row[name].as_str().expect("text").to_owned();
    rows.filter(|row| row["q8_0_exact"] == true)
        .map(|row| (field(&row, "prompt"), field(&row, "expected")))
        .collect()
}

#[test]
fn greedy_answers_are_the_expected_ones() {
    let mut worker = Worker::start(1).ready();
    let exact = exact();
    assert!(exact.len() >= 20, "{}", exact.len());
    for (request, (prompt, expected)) in (1..).zip(&exact) {
        let answer = worker.answer(question(request, prompt));
        assert_eq!(&answer.text, expected, "{prompt}");
        assert_eq!(answer.reason(), "stop");
        let finished = answer.finished.expect("finished");
        assert_eq!(finished.completion_tokens, answer.tokens);
        assert!(finished.prompt_tokens > 5 && finished.decode_us > 0);
    }
    assert!(worker.close().success());
}

#[test]
fn streams_together_say_what_each_says_alone() {
    let mut worker = Worker::start(4).ready();
    let exact = exact();
    // More than there are slots: the rest waits its turn.
    let some = &exact[..12];
    let requests: Vec<u64> = (100..100 + some.len() as u64).collect();
    for (request, (prompt, _)) in requests.iter().zip(some) {
        worker.ask(question(*request, prompt));
    }
    for (answer, (prompt, expected)) in worker.answers(&requests).iter().zip(some) {
        assert_eq!(&answer.text, expected, "{prompt}");
    }
}

#[test]
fn a_repeated_prompt_comes_from_the_cache_and_says_the_same() {
    let mut worker = Worker::start(2).ready();
    let (prompt, expected) = exact().remove(0);
    let first = worker.answer(question(1, &prompt));
    let again = worker.answer(question(2, &prompt));
    let finished = again.finished.clone().expect("finished");
    assert_eq!((first.cached(), finished.cached_tokens), (0, finished.prompt_tokens));
    assert_eq!((first.text.as_str(), again.text.as_str()), (expected.as_str(), expected.as_str()));
    let longer = worker.answer(chat(3, &[("user", &prompt), ("assistant", &expected), ("user", "thanks")]));
    assert!(longer.cached() > finished.prompt_tokens, "the answer is cached too: {}", longer.cached());
}

#[test]
fn p6_callers_share_no_cache() {
    let mut worker = Worker::start(2).ready();
    let ask = |request, partition| Generate { cache_partition: partition, ..question(request, "hello") };
    assert_eq!(worker.answer(ask(1, 1)).cached(), 0);
    assert_eq!(worker.answer(ask(2, 2)).cached(), 0);
    assert_eq!(worker.answer(ask(3, 3)).cached(), 0, "also where a slot is taken over");
    assert!(worker.answer(ask(4, 3)).cached() > 0);
}

#[test]
fn a_prefix_is_shared_with_a_stream_that_runs() {
    let mut worker = Worker::start(2).ready();
    let long = |request, last: &str| {
        let system = "You answer with SQL. ".repeat(20);
        Generate { max_tokens: 40, ignore_eos: true, ..chat(request, &[("system", &system), ("user", last)]) }
    };
    worker.ask(long(1, "list all orders"));
    // Its first piece: the prompt is evaluated.
    assert!(matches!(worker.frame(), Some(from_worker::Frame::Step(_))));
    worker.ask(long(2, "count the cars"));
    let answers = worker.answers(&[1, 2]);
    assert!(answers[1].cached() > 50, "{}", answers[1].cached());
    let mut alone = Worker::start(1).ready();
    assert_eq!(alone.answer(long(2, "count the cars")).text, answers[1].text);
}

#[test]
fn a_cancelled_answer_ends_within_a_step() {
    let mut worker = Worker::start(1).ready();
    worker.ask(Generate { ignore_eos: true, ..question(1, "hello") });
    worker.ask(question(2, "hello"));
    assert!(matches!(worker.frame(), Some(from_worker::Frame::Step(_))));
    worker.cancel(1);
    worker.cancel(77);
    let answers = worker.answers(&[1, 2]);
    assert_eq!((answers[0].reason(), answers[1].reason()), ("cancelled", "stop"));
    assert!(answers[0].tokens < 900, "{}", answers[0].tokens);
    worker.ask(Generate { ignore_eos: true, ..question(3, "hello") });
    worker.ask(question(4, "hello"));
    worker.cancel(4);
    worker.cancel(3);
    let answers = worker.answers(&[3, 4]);
    assert_eq!((answers[0].reason(), answers[1].reason()), ("cancelled", "cancelled"));
}

#[test]
fn stop_strings_hold_across_tokens() {
    let mut worker = Worker::start(1).ready();
    let (prompt, expected) = exact().remove(0);
    let middle = expected.find("FROM").expect("an SQL answer");
    // Crosses whatever the tokens are: it begins inside one word and ends inside another.
    let stop = expected[middle + 2..middle + 7].to_owned();
    let answer = worker.answer(Generate { stop: vec!["never".into(), stop], ..question(1, &prompt) });
    assert_eq!((answer.text.as_str(), answer.reason()), (&expected[..middle + 2], "stop"));
}

#[test]
fn lengths_are_kept() {
    let mut worker = Worker::start(1).ready();
    let answer = worker.answer(Generate { max_tokens: 3, ..question(1, "list all orders") });
    assert_eq!((answer.tokens, answer.reason()), (3, "length"));
    let full = worker.answer(Generate { ignore_eos: true, ..question(2, "hello") });
    let finished = full.finished.clone().expect("finished");
    assert_eq!((full.reason(), finished.prompt_tokens + finished.completion_tokens), ("length", 1024));
    let too_long = worker.answer(question(3, &"list all orders ".repeat(600)));
    assert_eq!(too_long.code(), "E-CONTEXT-FULL");
    let far_too_long = worker.answer(raw(4, &"x".repeat(2_000_000)));
    assert_eq!(far_too_long.code(), "E-CONTEXT-FULL");
    assert_eq!(worker.answer(question(5, "hello")).reason(), "stop");
}

#[test]
fn contexts_are_what_was_asked_but_never_more_than_was_trained() {
    let setup = |slots, context| Setup { slots, context, ..Setup::default() };
    assert_eq!(Worker::spawn(&setup(1, 4096)).hear_ready().context_tokens, 1024);
    // A context below the batch of a step: prompts that fill it, on all slots at once.
    let mut small = Worker::spawn(&setup(3, 64));
    assert_eq!(small.hear_ready().context_tokens, 64);
    let requests: Vec<u64> = (1..=9).collect();
    for request in &requests {
        small.ask(Generate { ignore_eos: true, ..raw(*request, &"orders ".repeat(request_len(*request))) });
    }
    for answer in small.answers(&requests) {
        match answer.finished {
            Some(finished) => assert_eq!(finished.prompt_tokens + finished.completion_tokens, 64),
            None => assert_eq!(answer.code(), "E-CONTEXT-FULL"),
        }
    }
}

/// From a prompt that leaves room for a page to one that leaves none.
fn request_len(request: u64) -> usize {
    usize::try_from(request * 8).expect("small")
}

#[test]
fn sampling_is_repeatable_by_its_seed() {
    let mut worker = Worker::start(1).ready();
    let mut ask = |request, seed, temperature| {
        let sampling = Sampling {
            temperature,
            top_p: 0.95,
            top_k: 100,
            min_p: 0.01,
            seed,
            frequency_penalty: 0.2,
            presence_penalty: 0.1,
            repeat_penalty: 1.05,
        };
        let wire = Generate {
            sampling: Some(sampling),
            max_tokens: 40,
            ignore_eos: true,
            ..question(request, "hi")
        };
        worker.answer(wire).text
    };
    let first = ask(1, 42, 2.0);
    assert_eq!(ask(2, 42, 2.0), first);
    assert!((3..10).any(|n| ask(n, n, 2.0) != first));
    assert_eq!(ask(11, 1, 0.0), ask(12, 2, 0.0));
}

#[test]
fn a_raw_prompt_fills_in_the_middle() {
    let mut worker = Worker::start(1).ready();
    let prompt = "<|fim_prefix|>SELECT name FROM <|fim_suffix|> WHERE id = 3;<|fim_middle|>";
    let answer = worker.answer(Generate { max_tokens: 60, ..raw(1, prompt) });
    let finished = answer.finished.clone().expect("finished");
    assert!(finished.prompt_tokens < 30, "marks are one token each: {}", finished.prompt_tokens);
    assert_eq!(answer.reason(), "stop");
    assert!(answer.text.len() < 40, "a middle, not a page: {}", answer.text.len());
}

#[test]
fn other_templates_are_rendered_or_refused() {
    let llama2 = "{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]{% else %}\
        <<SYS>>{{ m.content }}{% endif %}{% endfor %}";
    let llama3 = "{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>{% endfor %}";
    let gemma =
        "{% for m in messages %}<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}";
    let conversation =
        [("system", "be brief"), ("user", "hello"), ("assistant", "hi"), ("user", "list all orders")];
    for template in [llama2, llama3, gemma, "chatml"] {
        let mut worker = Worker::spawn(&Setup { template, ..Setup::default() }).ready();
        let answer = worker.answer(Generate { max_tokens: 5, ..chat(1, &conversation) });
        assert!(answer.failed.is_none(), "{template}: {:?}", answer.failed);
    }
    let mut worker = Worker::spawn(&Setup {
        template: "{% for m in messages[1:] %}{{ m.content }}{% endfor %}",
        ..Setup::default()
    })
    .ready();
    assert_eq!(worker.answer(question(1, "hello")).code(), "E-REQUEST-UNSUPPORTED");
    assert_eq!(
        worker.answer(Generate { max_tokens: 2, ..raw(2, "hello") }).tokens,
        2,
        "raw prompts need none"
    );
}
