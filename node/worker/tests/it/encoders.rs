//! Models that turn texts into vectors or scores and write nothing, each in the way that its file says.

use croft_proto::frames::{Embed, Embedded, Rank, Ranked, from_worker, to_worker};

use crate::peer::{Setup, Worker, raw};
use crate::tiny::{Pooling, encoder};

fn start(pooling: Pooling) -> Worker {
    let file = encoder(pooling);
    let model = file.path().to_str().expect("a path").to_owned();
    let mut worker = Worker::spawn(&Setup { model: &model, context: 128, ..Setup::default() });
    let ready = worker.hear_ready();
    assert_eq!((ready.ranks, ready.embedding_len == 0), (pooling == Pooling::Rank, pooling == Pooling::Rank));
    worker
}

fn vectors(worker: &mut Worker, texts: &[&str], dimensions: u32) -> Vec<Embedded> {
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    let count = texts.len();
    worker.send(to_worker::Frame::Embed(Embed { request: 1, texts, dimensions, ..Embed::default() }));
    let next = |_| match worker.frame() {
        Some(from_worker::Frame::Embedded(embedded)) => embedded,
        other => panic!("no vector: {other:?}"),
    };
    (0..count).map(next).collect()
}

fn scores(worker: &mut Worker, question: &str, texts: &[&str]) -> Vec<Ranked> {
    let texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    let count = texts.len();
    worker.send(to_worker::Frame::Rank(Rank { request: 2, question: question.to_owned(), texts }));
    let next = |_| match worker.frame() {
        Some(from_worker::Frame::Ranked(ranked)) => ranked,
        other => panic!("no score: {other:?}"),
    };
    (0..count).map(next).collect()
}

fn length(vector: &[f32]) -> f32 {
    vector.iter().map(|value| value * value).sum::<f32>().sqrt()
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

#[test]
fn each_model_pools_as_its_file_says_and_texts_do_not_mix() {
    let texts = ["list all orders", "digits", "orders list"];
    let mut first = Vec::new();
    for pooling in [Pooling::Mean, Pooling::Cls, Pooling::Last] {
        let mut worker = start(pooling);
        let together = vectors(&mut worker, &texts, 0);
        // A text stands between the marks that the model was trained with.
        assert_eq!(together.iter().map(|text| text.prompt_tokens).collect::<Vec<_>>(), [5, 3, 4]);
        assert_eq!(together.iter().map(|text| text.last).collect::<Vec<_>>(), [false, false, true]);
        for (text, embedded) in texts.iter().zip(&together) {
            assert!((length(&embedded.vector) - 1.0).abs() < 1e-4);
            let alone = vectors(&mut worker, &[text], 0).remove(0);
            assert!(near(&alone.vector, &embedded.vector), "{text}");
        }
        // Fewer dimensions are the first ones, of length one again.
        let short = vectors(&mut worker, &texts[..1], 4).remove(0).vector;
        let cut = &together[0].vector[..4];
        let expected: Vec<f32> = cut.iter().map(|value| value / length(cut)).collect();
        assert!(near(&short, &expected), "{short:?} {expected:?}");
        first.push(together[0].vector.clone());
    }
    for (a, b) in [(0, 1), (0, 2), (1, 2)] {
        assert!(!near(&first[a], &first[b]), "poolings {a} and {b} give the same");
    }
}

#[test]
fn a_model_that_ranks_gives_each_text_a_score_of_its_own() {
    let mut worker = start(Pooling::Rank);
    let texts = ["orders", "digits digits", "list all"];
    let together = scores(&mut worker, "list orders", &texts);
    // After the first mark, question and text are each closed by one.
    assert_eq!(together.iter().map(|text| text.prompt_tokens).collect::<Vec<_>>(), [6, 7, 7]);
    assert_eq!(
        together.iter().map(|text| (text.index, text.last)).collect::<Vec<_>>(),
        [(0, false), (1, false), (2, true)]
    );
    assert!(together.iter().all(|text| text.score.is_finite()));
    for (text, ranked) in texts.iter().zip(&together) {
        let alone = scores(&mut worker, "list orders", &[text]).remove(0).score;
        // Few tokens are summed up in half precision, many are not.
        assert!((alone - ranked.score).abs() < 1e-3, "{text}: {alone} and {}", ranked.score);
    }
    assert!((together[0].score - together[1].score).abs() > 2e-3, "{together:?}");
    let other = scores(&mut worker, "digits", &texts[..1]).remove(0).score;
    assert!((other - together[0].score).abs() > 2e-3, "the question counts");
    worker.send(to_worker::Frame::Embed(Embed { request: 3, texts: vec!["a".into()], ..Embed::default() }));
    assert_eq!(worker.answers(&[3])[0].code(), "E-REQUEST-UNSUPPORTED");
}

#[test]
fn an_encoder_writes_nothing_and_a_writer_does_not_rank() {
    let mut encoder = start(Pooling::Mean);
    assert_eq!(encoder.answer(raw(1, "list all orders")).code(), "E-REQUEST-UNSUPPORTED");
    assert_eq!(vectors(&mut encoder, &["digits"], 0).len(), 1, "and lives on");
    let mut writer = Worker::start(1).ready();
    let rank = Rank { request: 4, question: "a".into(), texts: vec!["b".into()] };
    writer.send(to_worker::Frame::Rank(rank));
    assert_eq!(writer.answers(&[4])[0].code(), "E-REQUEST-UNSUPPORTED");
}
