//! Workers that take too much, die in every way there is, hang, rest and make room for each other.

use croft_e2e::api::{Answer, Api};
use croft_e2e::controller::REPORTING_BASELINE;
use croft_e2e::{Workstation, binaries, wait};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use serde_json::{Value, json};

use crate::Village;

impl Village {
    /// As `serving`, with tables in `node.toml`.
    fn configured(settings: &str) -> Self {
        let mut village = Self::with(REPORTING_BASELINE, "info");
        village.workstation.stop().expect("stopped");
        village.workstation.configure(settings).expect("written");
        village.workstation.start().expect("started");
        village
    }

    /// Enrolls, and does not wait for anything.
    fn invited(self) -> Self {
        let invite = self.fleet.invite(&[]).expect("an invite");
        self.workstation.enroll(&invite).expect("enrollment");
        self
    }

    fn api(&self) -> Api {
        Api::new(&self.workstation.gateway(), Some(&self.workstation.api_key().expect("a key")))
    }
}

fn pid(number: u32) -> Pid {
    i32::try_from(number).ok().and_then(Pid::from_raw).expect("a pid")
}

/// Sends the signal until nobody is there to take it: Rust's runtime takes a first SIGSEGV for a stack overflow, sees that
/// it is none, and returns to where a real fault would come again.
fn kill(number: u32, signal: Signal) {
    let process = pidfd_open(pid(number), PidfdFlags::empty()).expect("a process");
    wait::until("it is gone", 60, || match pidfd_send_signal(&process, signal) {
        Err(_) => Ok(()),
        Ok(()) => Err("it lives".to_owned()),
    })
    .expect("gone");
}

fn model(station: &Workstation, name: &str) -> Value {
    let models = station.models().expect("models");
    let all = models["models"].as_array().expect("a list");
    all.iter().find(|model| model["bundle"] == name).cloned().unwrap_or_default()
}

/// The most that a process ever had in memory.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a size");
    line.trim().trim_end_matches("kB").trim().parse::<u64>().expect("a number") * 1024
}

/// An answer that goes on for minutes, on a thread.
fn long_answer(api: &Api) -> std::thread::JoinHandle<Answer> {
    let (api, body) = (api.clone(), endless());
    std::thread::spawn(move || api.post("/v1/completions", &body).expect("an answer"))
}

fn endless() -> Value {
    json!({"model": "starter", "prompt": "a", "max_tokens": 1_000_000, "ignore_eos": true, "context_shift": true})
}

/// Waits until the worker has used the processor since `before`, which is what an answer under way does.
fn processor_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    number(11) + number(12)
}

fn until_it_works(pid: u32) {
    let before = processor_ticks(pid);
    wait::until("the worker works", 60, || {
        let now = processor_ticks(pid);
        if now > before + 20 { Ok(()) } else { Err(format!("{before} then {now}")) }
    })
    .expect("work");
}

fn another_serves(station: &Workstation, than: u32) {
    wait::until("another worker serves", 90, || {
        let now = station.pid_of("worker").map_err(|e| e.to_string())?;
        if now == than { Err(format!("pid {now}")) } else { Ok(()) }
    })
    .expect("another worker");
    station.wait_until_serving(60).expect("serving again");
}

#[test]
fn what_a_model_takes_is_planned_shown_and_not_exceeded() {
    let village = Village::serving();
    let station = &village.workstation;
    // Every slot at once, each nearly full: what was planned is what is needed then.
    let asking: Vec<_> = (0..4)
        .map(|n| {
            let api = village.api();
            let prompt = format!("fn f{n}() {}", "a b ".repeat(200));
            let body = json!({"model": "starter", "prompt": prompt, "max_tokens": 100, "ignore_eos": true});
            std::thread::spawn(move || api.post("/v1/completions", &body).expect("an answer"))
        })
        .collect();
    for asked in asking {
        let answer = asked.join().expect("no panic");
        assert_eq!(answer.status, 200, "{answer:?}");
        println!("{}", answer.body["usage"]);
    }
    let planned = model(station, "starter@1")["memory_bytes"].as_u64().expect("a plan");
    let peak = peak_bytes(station.pid_of("worker").expect("a worker"));
    println!("planned {planned}, resident at most {peak}");
    assert!(peak <= planned, "resident {peak}, planned {planned}");
    assert!(planned <= peak * 2, "resident {peak}, planned {planned}");
}

#[test]
fn a_model_beyond_the_ceiling_is_refused_with_figures() {
    let village = Village::configured("[worker]\nmemory_mib = 9\n").invited();
    let station = &village.workstation;
    let refused = wait::until("the model is refused", 60, || {
        let model = model(station, "starter@1");
        if model["code"] == "E-MEMORY-PLAN" { Ok(model) } else { Err(model.to_string()) }
    })
    .expect("a refusal");
    let detail = refused["detail"].as_str().expect("a text");
    assert!(detail.starts_with("needs ") && detail.ends_with("ceiling 9.0 MiB"), "{detail}");
    assert!(detail.contains("(weights 2.1 MiB, KV "), "{detail}");
    let shown = station.croft(&["models"]).expect("models").stdout;
    assert!(shown.contains("E-MEMORY-PLAN") && shown.contains("hint: "), "{shown}");
    let answer = wait::until("the API says why", 60, || {
        let answer = village.api().ask("list all orders").map_err(|e| e.to_string())?;
        if answer.body["error"]["code"] == "E-MEMORY-PLAN" { Ok(answer) } else { Err(format!("{answer:?}")) }
    })
    .expect("an error");
    assert_eq!(answer.status, 503, "{answer:?}");
}

#[test]
fn p6_a_worker_that_dies_in_the_middle_of_an_answer_is_back_and_everything_else_stays() {
    let village = Village::serving();
    let station = &village.workstation;
    let (daemon, gateway) = (station.pid().expect("a pid"), station.pid_of("gateway").expect("a pid"));
    for signal in [Signal::ABORT, Signal::SEGV, Signal::KILL] {
        let worker = station.pid_of("worker").expect("a pid");
        let under_way = long_answer(&village.api());
        until_it_works(worker);
        kill(worker, signal);
        let answer = under_way.join().expect("no panic");
        assert_eq!(answer.body["error"]["code"], "E-WORKER-CRASHED", "{signal:?}: {answer:?}");
        assert_eq!(answer.status, 503);
        another_serves(station, worker);
        assert_eq!(village.api().ask("list all orders").expect("an answer").status, 200);
    }
    assert_eq!(station.pid(), Some(daemon));
    assert_eq!(station.pid_of("gateway").expect("a pid"), gateway);
}

/// A workstation to which `starter@1` and `other@1` are assigned.
fn with_two_models() -> Village {
    let village = Village::new();
    let other = binaries::repository().join("playbooks/starter-model/croft-starter-f16.gguf");
    village.fleet.publish_bundle("other", 1, &other).expect("another bundle");
    village.fleet.ctl(&["assign", "bundle", "other@1", "--group", "dev"]).expect("assigned");
    village.enrolled()
}

/// SIGKILL is all that the kernel's killer sends when memory runs out.
#[test]
fn p6_a_model_that_is_killed_for_memory_is_back_by_itself_and_takes_no_other_with_it() {
    let village = with_two_models();
    let station = &village.workstation;
    let both_serve = || {
        wait::until("both serve", 90, || {
            let states = ["starter@1", "other@1"].map(|name| model(station, name)["state"].clone());
            if states.iter().all(|state| state == "loaded") { Ok(()) } else { Err(format!("{states:?}")) }
        })
        .expect("two models");
    };
    both_serve();
    let own = [station.pid(), station.pid_of("gateway").ok(), station.pid_of("worker:starter").ok()];
    let mut body = endless();
    body["max_tokens"] = json!(600);
    let api = village.api();
    let under_way = std::thread::spawn(move || api.post("/v1/completions", &body).expect("an answer"));
    until_it_works(own[2].expect("a worker"));
    let victim = station.pid_of("worker:other").expect("a worker");
    let (api, mut body) = (village.api(), endless());
    body["model"] = json!("other");
    let lost = std::thread::spawn(move || api.post("/v1/completions", &body).expect("an answer"));
    until_it_works(victim);
    kill(victim, Signal::KILL);
    let lost = lost.join().expect("no panic");
    assert_eq!((lost.status, &lost.body["error"]["code"]), (503, &json!("E-WORKER-CRASHED")), "{lost:?}");
    let answer = under_way.join().expect("no panic");
    assert_eq!((answer.status, &answer.body["usage"]["completion_tokens"]), (200, &json!(600)), "{answer:?}");
    both_serve();
    assert_ne!(station.pid_of("worker:other").expect("a worker"), victim);
    let body = json!({"model": "other", "prompt": "SELECT", "max_tokens": 4});
    assert_eq!(village.api().post("/v1/completions", &body).expect("an answer").status, 200);
    let after = [station.pid(), station.pid_of("gateway").ok(), station.pid_of("worker:starter").ok()];
    assert_eq!(after, own, "nobody else was started anew");
}

#[test]
fn a_worker_without_memory_dies_alone() {
    let village = Village::serving();
    let station = &village.workstation;
    let worker = station.pid_of("worker").expect("a pid");
    // From here on the kernel refuses it every further byte.
    let none = rustix::process::Rlimit { current: Some(1), maximum: Some(1) };
    rustix::process::prlimit(Some(pid(worker)), rustix::process::Resource::Data, none).expect("a limit");
    // Texts become vectors in buffers that are made when the first one comes; so do answers to much text at once.
    let api = village.api();
    wait::until("it dies of it", 60, || {
        let body = json!({"model": "starter", "prompt": "x ".repeat(400), "max_tokens": 8, "logprobs": 5});
        let answer = api.post("/v1/completions", &body).map_err(|e| e.to_string())?;
        if answer.status == 503 { Ok(()) } else { Err(format!("{answer:?}")) }
    })
    .expect("an error");
    another_serves(station, worker);
    assert_eq!(village.api().ask("list all orders").expect("an answer").status, 200);
}

#[test]
fn a_worker_that_hangs_is_noticed_and_replaced() {
    let village = Village::configured("[worker]\nhang_after_s = 5\n").enrolled();
    let station = &village.workstation;
    let worker = station.pid_of("worker").expect("a pid");
    let under_way = long_answer(&village.api());
    until_it_works(worker);
    kill_process(pid(worker), Signal::STOP).expect("sent");
    let answer = under_way.join().expect("no panic");
    assert_eq!(answer.body["error"]["code"], "E-WORKER-CRASHED", "{answer:?}");
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    assert!(message.contains("no sign of life"), "{message}");
    another_serves(station, worker);
}

#[test]
fn a_model_that_nobody_uses_is_unloaded_and_the_next_request_loads_it() {
    let village = Village::configured("[worker]\nidle_after_s = 1\n").enrolled();
    let station = &village.workstation;
    let gone = || {
        wait::until("no worker is left", 60, || match station.pid_of("worker") {
            Err(_) => Ok(()),
            Ok(pid) => Err(format!("pid {pid}")),
        })
        .expect("unloaded");
    };
    for _ in 0..2 {
        gone();
        assert_eq!(model(station, "starter@1")["state"], "installed");
        let loaded = village.api().get("/api/ps").expect("an answer");
        assert_eq!(loaded.body["models"], json!([]), "{loaded:?}");
        let answer = village.api().ask("test that add(2, 3) is 5").expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[test]
fn clients_say_how_long_a_model_stays_and_policy_cuts_it() {
    let village = Village::configured("[worker]\nidle_after_s = 900\n").enrolled();
    let station = &village.workstation;
    let ask = |keep_alive: Value| {
        let body = json!({"model": "starter", "prompt": "SELECT", "stream": false, "keep_alive": keep_alive,
            "options": {"num_predict": 4}});
        let answer = village.api().post("/api/generate", &body).expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let present = || village.api().get("/api/ps").expect("an answer").body["models"].clone();
    let at_first = present()[0]["expires_at"].as_str().unwrap_or_default().to_owned();
    assert!(
        at_first.as_str() > "2020",
        "nobody asked yet, and it stays for a while all the same: {at_first}"
    );
    // For ever is as long as the policy says.
    ask(json!(-1));
    let until = present()[0]["expires_at"].as_str().expect("a moment").to_owned();
    let worker = station.pid_of("worker").expect("a pid");
    ask(json!("5m"));
    assert_eq!(station.pid_of("worker").expect("a pid"), worker);
    let sooner = present()[0]["expires_at"].as_str().expect("a moment").to_owned();
    assert!(sooner < until, "{sooner} is not before {until}");
    // Not at all: the process ends, and the model is shown as what it is.
    ask(json!(0));
    wait::until("the model is unloaded", 60, || match station.pid_of("worker") {
        Err(_) => Ok(()),
        Ok(pid) => Err(format!("pid {pid}")),
    })
    .expect("unloaded");
    assert_eq!(present(), json!([]));
    ask(json!("5m"));
    assert_eq!(present().as_array().map(Vec::len), Some(1));
}

#[test]
fn an_answer_whose_client_has_gone_does_not_keep_the_worker_busy() {
    let village = Village::configured("[worker]\nidle_after_s = 1\n").enrolled();
    let station = &village.workstation;
    let mut body = endless();
    body["stream"] = json!(true);
    let mut stream = village.api().stream("/v1/completions", &body).expect("a stream");
    let mut first = [0_u8; 64];
    std::io::Read::read_exact(&mut stream, &mut first).expect("it answers");
    drop(stream);
    // A worker is unloaded only when it says that it computes nothing and the gateway has nothing for it.
    wait::until("the worker is idle and unloaded", 60, || match station.pid_of("worker") {
        Err(_) => Ok(()),
        Ok(pid) => Err(format!("pid {pid}")),
    })
    .expect("unloaded");
}

#[test]
fn a_full_context_ends_an_answer_or_shifts_as_its_request_says() {
    let village = Village::serving();
    let ask = |shift: bool| {
        let mut body = endless();
        body["max_tokens"] = json!(1500);
        body["context_shift"] = json!(shift);
        village.api().post("/v1/completions", &body).expect("an answer").body
    };
    let ended = ask(false);
    assert_eq!(
        (&ended["usage"]["total_tokens"], &ended["choices"][0]["finish_reason"]),
        (&json!(1024), &json!("length"))
    );
    assert_eq!(ask(true)["usage"]["completion_tokens"], 1500);
    let body = json!({"model": "starter", "prompt": "SELECT name ".repeat(2000), "max_tokens": 1});
    let refused = village.api().post("/v1/completions", &body).expect("an answer");
    assert_eq!((refused.status, &refused.body["error"]["code"]), (400, &json!("E-CONTEXT-FULL")));
}

#[test]
fn models_that_do_not_fit_together_take_turns() {
    let village = with_two_models();
    let station = &village.workstation;
    let both = wait::until("both are loaded", 60, || {
        let each = ["starter@1", "other@1"].map(|name| model(station, name));
        let loaded = each.iter().all(|model| model["state"] == "loaded");
        if loaded { Ok(each) } else { Err(format!("{each:?}")) }
    })
    .expect("two workers");
    let bytes: u64 = both.iter().filter_map(|model| model["memory_bytes"].as_u64()).sum();

    let mut village = village;
    village.workstation.stop().expect("stopped");
    let mib = bytes / (1 << 20) - 2;
    village.workstation.configure(&format!("[worker]\nmemory_mib = {mib}\n")).expect("written");
    village.workstation.start().expect("started");
    let station = &village.workstation;
    station.wait_until_serving(60).expect("serving");
    let ask = |name: &str| {
        let body = json!({"model": name, "prompt": "SELECT", "max_tokens": 4});
        let answer = village.api().post("/v1/completions", &body).expect("an answer");
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    };
    for name in ["starter", "other", "starter", "other"] {
        ask(name);
        let states = ["starter@1", "other@1"].map(|name| model(station, name)["state"].clone());
        assert!(states.iter().filter(|state| *state == "loaded").count() <= 1, "{states:?}");
    }
}
