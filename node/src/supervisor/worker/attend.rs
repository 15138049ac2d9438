//! From a worker's start to its end: hears that it loads, that it is ready, and then that it lives. One that falls silent
//! is ended, and so is one that nobody uses, when the gateway agrees that nothing is on its way to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use croft_domain::code::Code;
use croft_proto::frames::{
    Alive, Rest, ToGateway, WorkerReady, WorkerReport, WorkerUp, to_gateway, worker_report,
};

use super::{End, Keeper};
use crate::failure::Failure;
use crate::limits::{IDLE_BEAT_EVERY, LOAD_TIMEOUT, REST_ASKED_EVERY};
use crate::spawn::{Process, describe};
use crate::supervisor::WorkerChange;
use crate::supervisor::gateway::House;
use crate::supervisor::packets::Packets;
use crate::supervisor::proof::Proof;
use crate::supervisor::room::Place;
use crate::supervisor::trial::Shown;

impl Keeper {
    pub(super) async fn accompany(
        &self,
        process: &mut Process,
        reports: &mut Packets,
        place: &mut Place,
        house: &Arc<House>,
        generation: u32,
    ) -> End {
        let loaded = tokio::time::timeout(LOAD_TIMEOUT, self.hear(reports, house, generation)).await;
        match loaded {
            Ok(Heard::Ready) => self.attend(process, reports, place, house, generation).await,
            Ok(Heard::Closed) => ended(process).await,
            Ok(Heard::Refused(failure)) => End::Failed(failure),
            Err(_) => End::Failed(Failure::new(Code::WorkerCrashed, "the model was not loaded in time")),
        }
    }

    /// Hears the worker until it is ready, refuses, or closes its end.
    async fn hear(&self, reports: &mut Packets, house: &Arc<House>, generation: u32) -> Heard {
        let mut shown = Shown::of(&self.order);
        loop {
            let report = match reports.receive::<WorkerReport>().await {
                Ok(Some(report)) => report,
                Ok(None) => return Heard::Closed,
                Err(e) => return Heard::Refused(Failure::caused(Code::WorkerCrashed, &e)),
            };
            match report.message {
                Some(worker_report::Message::SelfTest(test)) => {
                    let proof = Proof::of(test);
                    let open = (!proof.holds()).then(|| proof.open());
                    self.tell(WorkerChange::Proof(proof)).await;
                    if let Some(open) = open {
                        // The worker refuses by itself; we do not rely on that.
                        return Heard::Refused(Failure::new(Code::SandboxUnproven, open));
                    }
                }
                Some(worker_report::Message::Progress(progress)) => {
                    self.tell_loading(house, progress.percent.min(100));
                    self.tell(WorkerChange::Progress { percent: progress.percent.min(100) }).await;
                }
                Some(worker_report::Message::Refusal(refusal)) => {
                    return Heard::Refused(refusal_of(&refusal));
                }
                Some(worker_report::Message::Rendered(rendered)) => {
                    if let Err(failure) = shown.compare(rendered) {
                        return Heard::Refused(failure);
                    }
                }
                Some(worker_report::Message::Ready(ready)) => {
                    if let Err(failure) = shown.is_complete(&ready) {
                        return Heard::Refused(failure);
                    }
                    let up = WorkerUp { slot: self.order.slot, generation };
                    house.tell(ToGateway { message: Some(to_gateway::Message::WorkerUp(up)) });
                    let WorkerReady { load_ms, checks_passed: checks, cpu, .. } = ready;
                    let weights = self.order.weights;
                    self.tell(WorkerChange::Ready { load_ms, checks, cpu: level(&cpu), weights }).await;
                    return Heard::Ready;
                }
                Some(worker_report::Message::Alive(_)) | None => {}
            }
        }
    }

    /// Watches a worker that serves.
    async fn attend(
        &self,
        process: &mut Process,
        reports: &mut Packets,
        place: &mut Place,
        house: &Arc<House>,
        generation: u32,
    ) -> End {
        let mut watch = Watch::begin(Instant::now());
        place.set_idle_since(watch.idle_since);
        let mut needed_elsewhere = false;
        let mut policies = self.policies.clone();
        loop {
            let most_s = policies.borrow_and_update().keep_alive_max_s;
            let keep_alive = keep_alive(house.keep_alive_s(self.order.slot), most_s);
            let rest_at = watch.rest_at(keep_alive, needed_elsewhere);
            tokio::select! {
                status = process.wait() => return down(status),
                report = reports.receive::<WorkerReport>() => match report {
                    Ok(Some(WorkerReport { message: Some(worker_report::Message::Alive(alive)) })) => {
                        watch.hear(&alive, Instant::now());
                        place.set_idle_since(watch.idle_since);
                    }
                    Ok(Some(_)) => {}
                    Ok(None) => return ended(process).await,
                    Err(e) => return End::Failed(Failure::caused(Code::WorkerCrashed, &e)),
                },
                () = until(Some(watch.silent_at(self.programs.allowance.hang_after))) => {
                    return End::Failed(silent(self.programs.allowance.hang_after));
                }
                () = until(rest_at) => {
                    watch.rest_asked_at = Some(Instant::now());
                    let rest = Rest { slot: self.order.slot, generation };
                    house.tell(ToGateway { message: Some(to_gateway::Message::Rest(rest)) });
                }
                () = place.wanted_by_another(), if !needed_elsewhere => needed_elsewhere = true,
                () = house.at_rest(self.order.slot, generation) => return End::Rested,
                () = house.keep_alive_changed(self.order.slot) => {}
                Ok(()) = policies.changed() => {}
            }
        }
    }
}

enum Heard {
    Ready,
    Closed,
    Refused(Failure),
}

/// What is known of a worker that serves.
struct Watch {
    heard_at: Instant,
    idle_since: Option<Instant>,
    rest_asked_at: Option<Instant>,
}

impl Watch {
    const fn begin(now: Instant) -> Self {
        Self { heard_at: now, idle_since: Some(now), rest_asked_at: None }
    }

    fn hear(&mut self, alive: &Alive, now: Instant) {
        self.heard_at = now;
        self.idle_since = if alive.busy { None } else { self.idle_since.or(Some(now)) };
        if alive.busy {
            self.rest_asked_at = None;
        }
    }

    /// When silence has lasted too long. An idle worker speaks seldom.
    fn silent_at(&self, hang_after: Duration) -> Instant {
        let pause = if self.idle_since.is_some() { IDLE_BEAT_EVERY } else { Duration::ZERO };
        self.heard_at + pause + hang_after
    }

    /// When the gateway is to be asked whether the model may rest; none while it is used, or never.
    fn rest_at(&self, keep_alive: Option<Duration>, needed_elsewhere: bool) -> Option<Instant> {
        let idle_since = self.idle_since?;
        let due = if needed_elsewhere { idle_since } else { idle_since.checked_add(keep_alive?)? };
        Some(self.rest_asked_at.map_or(due, |asked| due.max(asked + REST_ASKED_EVERY)))
    }
}

/// How long a model stays loaded without a request: as the last client was granted, and never longer than the policy
/// says. None: it stays.
fn keep_alive(granted_s: Option<u64>, most_s: Option<u64>) -> Option<Duration> {
    most_s.map(|most| Duration::from_secs(granted_s.unwrap_or(most).min(most)))
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

async fn ended(process: &mut Process) -> End {
    down(process.wait().await)
}

fn down(status: std::io::Result<std::process::ExitStatus>) -> End {
    End::Failed(match status {
        Ok(status) => Failure::new(Code::WorkerCrashed, format!("the worker {}", describe(status))),
        Err(e) => Failure::caused(Code::Internal, &e),
    })
}

fn silent(hang_after: Duration) -> Failure {
    let message = format!("the worker gave no sign of life for {} s and was ended", hang_after.as_secs());
    Failure::new(Code::WorkerCrashed, message)
}

/// The level of a processor back end; a level is a word, and what is longer is none.
pub(in crate::supervisor) fn level(said: &str) -> String {
    said.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).take(32).collect()
}

pub(in crate::supervisor) fn refusal_of(refusal: &croft_proto::frames::WorkerRefusal) -> Failure {
    let known = Code::ALL.iter().copied().find(|code| code.as_str() == refusal.code);
    let message: String = refusal.message.chars().take(512).collect();
    Failure::new(known.unwrap_or(Code::WorkerCrashed), message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn alive(busy: bool) -> Alive {
        Alive { busy, steps: 0 }
    }

    #[test]
    fn a_model_rests_when_it_was_idle_long_enough_and_never_while_it_works() {
        let start = Instant::now();
        let mut watch = Watch::begin(start);
        assert_eq!(watch.rest_at(Some(MINUTE), false), Some(start + MINUTE));
        assert_eq!(watch.rest_at(None, false), None);
        assert_eq!(watch.rest_at(None, true), Some(start), "another model needs the room");
        watch.hear(&alive(true), start + MINUTE);
        assert_eq!(watch.rest_at(Some(MINUTE), true), None);
        watch.hear(&alive(false), start + 2 * MINUTE);
        watch.hear(&alive(false), start + 3 * MINUTE);
        assert_eq!(
            watch.rest_at(Some(MINUTE), false),
            Some(start + 3 * MINUTE),
            "idle since it said so first"
        );
        // A gateway that did not agree is asked again, but not at once.
        watch.rest_asked_at = Some(start + 3 * MINUTE);
        assert_eq!(watch.rest_at(Some(Duration::ZERO), false), Some(start + 3 * MINUTE + REST_ASKED_EVERY));
    }

    #[test]
    fn a_client_shortens_the_stay_and_never_lengthens_it() {
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(keep_alive(None, Some(600)), seconds(600));
        assert_eq!(keep_alive(Some(0), Some(600)), seconds(0));
        assert_eq!(keep_alive(Some(u64::MAX), Some(600)), seconds(600));
        assert_eq!(keep_alive(Some(5), None), None);
    }

    #[test]
    fn silence_counts_sooner_while_it_works() {
        let start = Instant::now();
        let mut watch = Watch::begin(start);
        assert_eq!(watch.silent_at(MINUTE), start + IDLE_BEAT_EVERY + MINUTE);
        watch.hear(&alive(true), start);
        assert_eq!(watch.silent_at(MINUTE), start + MINUTE);
    }
}
