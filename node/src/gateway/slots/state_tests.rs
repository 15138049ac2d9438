//! A slot against workers that die, lie and stall.

use croft_domain::usage::Sensitivity;
use croft_proto::frames::{Failed, Generate, Step};

use super::super::super::body::Budget;
use super::super::super::limits::EVENTS_MAX;
use super::*;

struct Bench {
    state: State,
    receivers: HashMap<u64, mpsc::Receiver<Event>>,
}

impl Bench {
    fn up(streams: u32) -> Self {
        let mut bench = Self { state: State::new(0), receivers: HashMap::new() };
        bench.state.worker_up(1);
        assert_eq!(bench.state.take(ready(1, streams)).0, Some(1));
        bench
    }

    fn submit(&mut self, uid: u32) -> u64 {
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let reservation = Budget::default().reservation();
        let account = Account { caller: Caller::Uid(uid), class: Sensitivity::Internal };
        let request = self
            .state
            .submit(account, to_worker::Frame::Generate(Generate::default()), reservation, sender)
            .expect("room in the queue");
        self.receivers.insert(request, receiver);
        request
    }

    fn sent(&mut self) -> Vec<(&'static str, u64)> {
        std::iter::from_fn(|| self.state.next_outgoing())
            .map(|frame| match frame.frame {
                Some(to_worker::Frame::Generate(generate)) => ("generate", generate.request),
                Some(to_worker::Frame::Cancel(cancel)) => ("cancel", cancel.request),
                Some(to_worker::Frame::Embed(embed)) => ("embed", embed.request),
                Some(to_worker::Frame::Rank(rank)) => ("rank", rank.request),
                None => ("none", 0),
            })
            .collect()
    }

    fn events(&mut self, request: u64) -> Vec<String> {
        let receiver = self.receivers.get_mut(&request).expect("a known request");
        std::iter::from_fn(|| receiver.try_recv().ok())
            .map(|event| match event {
                Event::Piece(fragment) => fragment.text,
                Event::Vector(embedded) => format!("{:?}", embedded.vector),
                Event::Finished(finished) => format!("[{}]", finished.reason),
                Event::Failed(refusal) => refusal.code.to_string(),
            })
            .collect()
    }
}

fn ready(generation: u32, slots: u32) -> FromWorker {
    let frame = Some(from_worker::Frame::Ready(Ready { slots, ..Ready::default() }));
    FromWorker { generation, frame }
}

fn step(generation: u32, request: u64, text: &str, end: Option<&str>) -> FromWorker {
    let finished = end.map(|reason| Finished { reason: reason.into(), ..Finished::default() });
    let pieces = vec![Piece { request, text: text.into(), tokens: 1, finished, ..Piece::default() }];
    FromWorker { generation, frame: Some(from_worker::Frame::Step(Step { pieces })) }
}

#[test]
fn no_more_run_than_the_worker_takes_and_callers_take_turns() {
    let mut bench = Bench::up(2);
    let requests: Vec<_> = [7, 7, 7, 8].into_iter().map(|uid| bench.submit(uid)).collect();
    assert_eq!(bench.sent(), [("generate", requests[0]), ("generate", requests[3])]);
    bench.state.take(step(1, requests[0], "a", Some("stop")));
    assert_eq!(bench.sent(), [("generate", requests[1])]);
    assert_eq!(bench.events(requests[0]), ["a", "[stop]"]);
}

#[test]
fn a_greedy_caller_does_not_starve_another() {
    let mut bench = Bench::up(1);
    let first = bench.submit(7);
    let greedy: Vec<_> = (0..30).map(|_| bench.submit(7)).collect();
    let modest = bench.submit(8);
    assert_eq!(bench.sent(), [("generate", first)]);
    bench.state.take(step(1, first, "", Some("stop")));
    let mut served = Vec::new();
    while !served.contains(&modest) {
        let (_, request) = bench.sent()[0];
        served.push(request);
        bench.state.take(step(1, request, "", Some("stop")));
    }
    assert!(served.len() <= 2, "{} of {} came first", served.len() - 1, greedy.len());
}

/// Measured in tokens served between, and not in time: nothing of the greedy caller's is served in between.
#[test]
fn eight_long_streams_of_one_caller_leave_a_place_for_another() {
    let mut bench = Bench::up(4);
    let known = bench.submit(8);
    bench.sent();
    bench.state.take(step(1, known, "", Some("stop")));
    let greedy: Vec<_> = (0..8).map(|_| bench.submit(7)).collect();
    let started: Vec<_> = bench.sent().into_iter().map(|(_, request)| request).collect();
    assert_eq!(started, greedy[..3], "three of four places");
    let modest = bench.submit(8);
    assert_eq!(
        bench.sent(),
        [("generate", modest)],
        "it starts before another token of the greedy one is served"
    );
    let second = bench.submit(8);
    assert!(bench.sent().is_empty(), "all places are taken");
    bench.state.take(step(1, modest, "", Some("stop")));
    assert_eq!(bench.sent(), [("generate", second)], "the place stays the other's");
}

#[test]
fn a_caller_that_is_alone_has_all_places() {
    let mut bench = Bench::up(4);
    let requests: Vec<_> = (0..8).map(|_| bench.submit(7)).collect();
    let started: Vec<_> = bench.sent().into_iter().map(|(_, request)| request).collect();
    assert_eq!(started, requests[..4]);
}

#[test]
fn a_crash_fails_what_runs_and_keeps_what_waits() {
    let mut bench = Bench::up(1);
    let (running, waiting) = (bench.submit(1), bench.submit(1));
    bench.sent();
    bench.state.worker_down("", "");
    assert_eq!(bench.events(running), ["E-WORKER-CRASHED"]);
    assert!(bench.events(waiting).is_empty() && !bench.state.is_up());
    assert_eq!(bench.state.worker_up(2), None);
    bench.state.take(step(1, waiting, "ghost", None));
    bench.state.take(ready(1, 1));
    assert!(bench.sent().is_empty(), "a dead generation is not believed");
    assert_eq!(bench.state.take(ready(2, 1)).0, Some(2));
    assert_eq!(bench.sent(), [("generate", waiting)]);
    bench.state.give_up_waiting(waiting);
    bench.state.take(step(2, waiting, "b", None));
    assert_eq!(bench.events(waiting), ["b"]);
}

#[test]
fn readiness_may_come_before_the_daemons_word() {
    let mut state = State::new(0);
    assert_eq!(state.take(ready(4, 1)).0, None);
    assert_eq!(state.worker_up(4), Some(4));
}

#[test]
fn a_cancelled_request_holds_its_place_until_acknowledged() {
    let mut bench = Bench::up(1);
    let (first, second) = (bench.submit(1), bench.submit(1));
    bench.sent();
    assert!(bench.state.cancel(first));
    assert_eq!(bench.sent(), [("cancel", first)]);
    bench.state.take(step(1, first, "", Some("cancelled")));
    assert_eq!(bench.sent(), [("generate", second)]);
    assert!(!bench.state.cancel(first), "it is gone");
}

#[test]
fn a_worker_that_never_acknowledges_loses_the_place() {
    let mut bench = Bench::up(1);
    let (first, second) = (bench.submit(1), bench.submit(1));
    bench.sent();
    bench.state.cancel(first);
    bench.sent();
    bench.state.forget_cancelled(second);
    bench.state.forget_cancelled(first);
    assert_eq!(bench.sent(), [("generate", second)]);
}

#[test]
fn who_hangs_up_while_waiting_never_reaches_the_worker() {
    let mut bench = Bench::up(1);
    let (first, second, third) = (bench.submit(1), bench.submit(1), bench.submit(1));
    bench.sent();
    assert!(!bench.state.cancel(second));
    bench.state.take(step(1, first, "", Some("stop")));
    assert_eq!(bench.sent(), [("generate", third)]);
}

#[test]
fn nobody_waits_for_ever_for_a_worker_that_is_down() {
    let mut bench = Bench { state: State::new(0), receivers: HashMap::new() };
    let request = bench.submit(1);
    bench.state.give_up_waiting(request);
    assert_eq!(bench.events(request), ["E-WORKER-CRASHED"]);
}

#[test]
fn p1_a_lying_worker_is_bounded() {
    let mut bench = Bench::up(1);
    let request = bench.submit(1);
    bench.sent();
    bench.state.take(step(1, 999, "for nobody", Some("stop")));
    assert!(bench.events(request).is_empty());
    bench.state.take(step(1, request, &"x".repeat(PIECE_LEN_MAX + 1), None));
    assert_eq!(bench.events(request), ["E-WORKER-CRASHED"]);
    assert!(!bench.state.is_up());
}

#[test]
fn a_slow_reader_is_cancelled_and_others_go_on() {
    let mut bench = Bench::up(2);
    let (slow, other) = (bench.submit(1), bench.submit(2));
    bench.sent();
    for _ in 0..=EVENTS_MAX {
        bench.state.take(step(1, slow, "x", None));
    }
    assert_eq!(bench.sent(), [("cancel", slow)]);
    bench.state.take(step(1, other, "y", None));
    assert_eq!(bench.events(other), ["y"]);
    assert_eq!(bench.events(slow).len(), EVENTS_MAX);
}

#[test]
fn a_workers_refusal_keeps_its_code_and_loses_control_characters() {
    let mut bench = Bench::up(1);
    let request = bench.submit(1);
    bench.sent();
    let failed = Failed { request, code: "E-CONTEXT-FULL".into(), message: "too\nlong".into() };
    bench.state.take(FromWorker { generation: 1, frame: Some(from_worker::Frame::Failed(failed)) });
    assert_eq!(bench.events(request), ["E-CONTEXT-FULL"]);
    assert_eq!(printable("a\u{1b}[31m\nb"), "a[31mb");
}

#[test]
fn a_worker_rests_only_when_nothing_is_on_its_way_to_it() {
    let mut bench = Bench::up(1);
    assert!(!bench.state.rest(7), "another generation");
    let request = bench.submit(1);
    assert!(!bench.state.rest(1), "a request waits to be sent");
    assert_eq!(bench.sent(), [("generate", request)]);
    assert!(!bench.state.rest(1), "a request runs");
    bench.state.take(step(1, request, "x", Some("stop")));
    assert!(bench.state.rest(1));
    assert!(!bench.state.is_up());
    let later = bench.submit(1);
    assert!(bench.sent().is_empty() && bench.events(later).is_empty(), "it waits for the next worker");
    bench.state.refuse_waiting("E-MEMORY-PLAN", "needs 5.1 GiB");
    assert_eq!(bench.events(later), ["E-MEMORY-PLAN"]);
}
