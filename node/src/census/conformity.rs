//! The check `census-conformity`: a census in the facts that a baseline asks for. Counts only; what they count is shown
//! by `croft census` on the machine itself.

use croft_domain::census::{Known, ModelStanding};
use croft_domain::fact::{Confidence, Fact, Observation};

use super::{Census, Scan, ToolFound};

/// The check's name in baselines.
const CHECK: &str = "census-conformity";

/// The facts of a census.
#[must_use]
pub fn conformity(census: &Census) -> Vec<Fact> {
    let tools =
        |is_one: &dyn Fn(&ToolFound) -> bool| count(census.tools.iter().filter(|t| is_one(t)).count());
    let models = |standing: ModelStanding| {
        let all = census.tools.iter().flat_map(ToolFound::models);
        all.filter(|model| model.standing == Some(standing)).count()
    };
    let unread = census.home_unread
        || census.tools.iter().any(|tool| tool.stores.iter().any(|store| store.unread.is_some()));
    let not_all = "a store cannot be read, so its models are unknown; croft census says which";
    // Nothing found where not everything was seen is no answer.
    let complete = |found: usize, is_seen: bool, why: &str| match found {
        0 if !is_seen => Observation::Unavailable { reason: why.to_owned() },
        found => count(found),
    };
    let listed = |standing| match census.compared {
        false => Observation::Unavailable { reason: "there is no signed list of models yet".to_owned() },
        true => complete(models(standing), !unread, not_all),
    };
    let scans = |wanted: Scan| {
        census.tools.iter().flat_map(ToolFound::models).filter(|m| m.scan == Some(wanted)).count()
    };
    let unjudged = scans(Scan::Unknown) > 0;
    let cloud_unseen = census.tools.iter().any(|tool| tool.has_cloud && tool.cloud == Known::Unknown);
    let cloud = census.tools.iter().filter(|tool| tool.cloud == Known::Yes).count();
    [
        ("exposed", tools(&ToolFound::is_exposed)),
        ("host-check", tools(&|tool| tool.host_check_off)),
        ("cloud", complete(cloud, !cloud_unseen, "a tool's settings or environment cannot be read")),
        ("models-unapproved", listed(ModelStanding::Known)),
        ("models-unknown", listed(ModelStanding::Unknown)),
        (
            "models-unsafe",
            complete(scans(Scan::Refused), !unread && !unjudged, "a file could not be judged, or not yet"),
        ),
        ("stores", complete(0, !unread, not_all)),
    ]
    .map(|(subject, observation)| fact(subject, observation))
    .to_vec()
}

/// The same facts when no census could be taken.
#[must_use]
pub fn unavailable(reason: &str) -> Vec<Fact> {
    let subjects =
        croft_domain::remedy::CHECKS.iter().find(|check| check.name == CHECK).map_or(&[][..], |c| c.subjects);
    subjects.iter().map(|s| fact(s, Observation::Unavailable { reason: reason.to_owned() })).collect()
}

fn count(number: usize) -> Observation {
    Observation::Count { count: u32::try_from(number).unwrap_or(u32::MAX) }
}

fn fact(subject: &str, observation: Observation) -> Fact {
    let confidence = match observation {
        Observation::Unavailable { .. } => Confidence::None,
        _ => Confidence::Heuristic,
    };
    Fact {
        check: CHECK.parse().expect("a constant name"),
        subject: subject.to_owned(),
        observation,
        method: "census".to_owned(),
        confidence,
        trace: Vec::new(),
    }
}
