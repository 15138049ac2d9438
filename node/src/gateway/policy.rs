//! What the daemon last allowed, and whether that still holds. The gateway does not trust the daemon to be alive when
//! a lease ends: it compares both clocks itself, at every request and at every piece of an answer.

use std::collections::BTreeSet;
use std::rc::Rc;

use croft_domain::code::Code;
use croft_domain::data_class::{DataAction, DataClass, DataClasses};
use croft_domain::usage::Sensitivity;
use croft_proto::frames::{DataRule, GatewayPolicy, ServedModel};

use super::clock::Moment;
use super::content::Rules;
use super::errors::{Refusal, code_named};
use super::limits::MODEL_NAME_LEN_MAX;
use super::quota::Bounds;
use super::sieve::Links;

/// The daemon's word, parsed.
pub struct Policy {
    serving: bool,
    refusal: Refusal,
    serve_until_s: u64,
    serve_until_boottime_ms: u64,
    models: Vec<ServedModel>,
    enrolled_uids: BTreeSet<u32>,
    api_key_sha256: Option<[u8; 32]>,
    received_at_s: u64,
    data_classes: DataClasses,
    content_rules: Rc<Rules>,
    answer_classes: DataClasses,
    answer_rules: Rc<Rules>,
    bounds: Bounds,
    sensitivity: Sensitivity,
    keep_alive_max_s: Option<u64>,
    origins: Vec<String>,
    links: Links,
}

impl Policy {
    /// Parses a policy that came at `now`. What cannot be parsed allows nothing.
    #[must_use]
    pub fn parse(policy: GatewayPolicy, now: Moment) -> Self {
        let GatewayPolicy {
            serving,
            refusal_code,
            refusal_reason,
            serve_until,
            serve_until_boottime_ms,
            models,
            enrolled_uids,
            api_key_sha256,
            data_rules,
            answer_rules,
            tokens_per_day,
            in_flight_max,
            data_class,
            keep_alive_max_s,
            origins,
            defuse_links,
        } = policy;
        let code = code_named(&refusal_code).unwrap_or(Code::NotCompliant);
        let (data_classes, answer_classes) = (classes(&data_rules), classes(&answer_rules));
        let mut key = [0_u8; 32];
        let key = hex::decode_to_slice(&api_key_sha256, &mut key).is_ok().then_some(key);
        Self {
            serving,
            refusal: Refusal::new(code, refusal_message(code, &refusal_reason)),
            serve_until_s: serve_until,
            serve_until_boottime_ms,
            models,
            enrolled_uids: enrolled_uids.into_iter().filter(|uid| *uid != 0).collect(),
            api_key_sha256: key,
            received_at_s: now.wall_s,
            content_rules: Rc::new(Rules::new(&data_classes)),
            data_classes,
            answer_rules: Rc::new(Rules::new(&answer_classes)),
            answer_classes,
            bounds: Bounds { tokens_per_day, in_flight_max },
            // A name that a newer daemon may know and this program does not is the strictest.
            sensitivity: Sensitivity::named(&data_class).unwrap_or(Sensitivity::Restricted),
            keep_alive_max_s,
            origins,
            links: if defuse_links { Links::Defuse } else { Links::Keep },
        }
    }

    /// Whether anything may be inferred now.
    ///
    /// # Errors
    /// The daemon's refusal, or [`Code::LeaseExpired`] when either clock is past the lease.
    pub fn standing(&self, now: Moment) -> Result<(), Refusal> {
        if !self.serving {
            return Err(self.refusal.clone());
        }
        if now.wall_s >= self.serve_until_s || now.boottime_ms >= self.serve_until_boottime_ms {
            return Err(Refusal::new(
                Code::LeaseExpired,
                "the lease to serve has ended; connect to the controller once and it renews by itself; run `croft why`",
            ));
        }
        Ok(())
    }

    /// The model of that name, alias or bundle reference. `:latest`, which Ollama clients append, is ignored.
    ///
    /// # Errors
    /// [`Code::ModelUnknown`], listing what there is.
    pub fn model(&self, name: &str) -> Result<&ServedModel, Refusal> {
        let wanted = name.strip_suffix(":latest").unwrap_or(name);
        let found = self.models.iter().find(|model| {
            model.name == wanted
                || model.bundle == wanted
                || model.aliases.iter().any(|alias| alias == wanted)
        });
        found.ok_or_else(|| {
            let shown = if wanted.len() <= MODEL_NAME_LEN_MAX { wanted } else { "that name" };
            let names: Vec<_> = self.models.iter().map(|model| model.name.as_str()).collect();
            let there = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            Refusal::new(
                Code::ModelUnknown,
                format!("model {shown:?} is not served here now; there is: {there}"),
            )
        })
    }

    /// The model for insertions where a client names none: the one called `complete`, else the first.
    #[must_use]
    pub fn sole_model(&self) -> Option<&str> {
        let called = self.models.iter().find(|model| model.aliases.iter().any(|alias| alias == "complete"));
        called.or(self.models.first()).map(|model| model.name.as_str())
    }

    /// Whether a model of that digest is still approved.
    #[must_use]
    pub fn serves(&self, digest: &str) -> bool {
        self.models.iter().any(|model| model.digest == digest)
    }

    /// Whether that very model is still approved.
    #[must_use]
    pub fn still_serves(&self, slot: u32, digest: &str) -> bool {
        self.models.iter().any(|model| model.slot == slot && model.digest == digest)
    }

    /// What becomes of links to other hosts in answers.
    #[must_use]
    pub const fn links(&self) -> Links {
        self.links
    }

    /// All models.
    #[must_use]
    pub fn models(&self) -> &[ServedModel] {
        &self.models
    }

    /// Whether that uid belongs to an enrolled person. Root never does: it can be anybody.
    #[must_use]
    pub fn is_enrolled(&self, uid: u32) -> bool {
        self.enrolled_uids.contains(&uid)
    }

    /// SHA-256 of the API key.
    #[must_use]
    pub const fn api_key_sha256(&self) -> Option<&[u8; 32]> {
        self.api_key_sha256.as_ref()
    }

    /// Whether any caller could be recognized at all.
    #[must_use]
    pub fn knows_callers(&self) -> bool {
        self.api_key_sha256.is_some() || !self.enrolled_uids.is_empty()
    }

    /// What to look for in requests.
    #[must_use]
    pub fn content_rules(&self) -> Rc<Rules> {
        Rc::clone(&self.content_rules)
    }

    /// What to look for in answers.
    #[must_use]
    pub fn answer_rules(&self) -> Rc<Rules> {
        Rc::clone(&self.answer_rules)
    }

    /// What one caller may use.
    #[must_use]
    pub const fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Whether a web page of that origin may use the API.
    #[must_use]
    pub fn allows_origin(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin)
    }

    /// How long a model stays loaded for a client that asked for so many seconds; none: the client has no say.
    #[must_use]
    pub fn keep_alive_s(&self, asked_s: Option<u64>) -> Option<u64> {
        self.keep_alive_max_s.map(|most| asked_s.unwrap_or(most).min(most))
    }

    /// Of which class a request's data is: as declared, else as the baseline takes it.
    #[must_use]
    pub fn class_of(&self, declared: Option<Sensitivity>) -> Sensitivity {
        declared.unwrap_or(self.sensitivity)
    }

    /// Checks that a model may be given data of the declared class; nothing declared counts as the baseline says.
    ///
    /// # Errors
    /// [`Code::DataClass`].
    pub fn check_data_class(
        &self,
        declared: Option<Sensitivity>,
        model: &ServedModel,
    ) -> Result<(), Refusal> {
        let class = self.class_of(declared);
        let most = Sensitivity::named(&model.data_class_max).unwrap_or(Sensitivity::Public);
        if class <= most {
            return Ok(());
        }
        let whose = if declared.is_some() { "declared" } else { "taken for granted where none is declared" };
        let (class, most, name) = (class.as_str(), most.as_str(), &model.name);
        let message =
            format!("data of class {class} ({whose}) may not go to {name}, which is approved up to {most}");
        Err(Refusal::new(Code::DataClass, message))
    }

    /// The same policy with the rules of an earlier one, if they are for the same classes: their patterns are compiled.
    #[must_use]
    pub fn keeping_rules_of(mut self, earlier: Option<&Self>) -> Self {
        if let Some(earlier) = earlier.filter(|earlier| earlier.data_classes == self.data_classes) {
            self.content_rules = Rc::clone(&earlier.content_rules);
        }
        if let Some(earlier) = earlier.filter(|earlier| earlier.answer_classes == self.answer_classes) {
            self.answer_rules = Rc::clone(&earlier.answer_rules);
        }
        self
    }

    /// When it came, in Unix seconds.
    #[must_use]
    pub const fn received_at_s(&self) -> u64 {
        self.received_at_s
    }

    /// The lease's end, in Unix seconds.
    #[must_use]
    pub const fn serve_until_s(&self) -> u64 {
        self.serve_until_s
    }
}

// A class that this program does not know cannot be looked for; daemon and gateway are one executable.
fn classes(rules: &[DataRule]) -> DataClasses {
    let rule = |rule: &DataRule| Some((DataClass::named(&rule.data_class)?, DataAction::named(&rule.action)));
    rules.iter().filter_map(rule).collect()
}

/// The refusal while the daemon has not said anything yet.
#[must_use]
pub fn refusal_before_policy() -> Refusal {
    Refusal::new(Code::LeaseNone, "this machine has no lease yet; run `croft why`")
}

fn refusal_message(code: Code, reason: &str) -> String {
    let reason = reason.trim();
    let said = match (code, reason.is_empty()) {
        (_, true) => "this machine may not serve now".to_owned(),
        (Code::NotCompliant, false) if !reason.starts_with("not compliant") => {
            format!("not compliant: {reason}")
        }
        _ => reason.to_owned(),
    };
    if said.contains("croft why") { said } else { format!("{said}; run `croft why`") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment { wall_s: 1_000, boottime_ms: 5_000 };

    fn policy() -> GatewayPolicy {
        GatewayPolicy {
            serving: true,
            serve_until: 2_000,
            serve_until_boottime_ms: 9_000,
            models: vec![ServedModel {
                name: "coder".into(),
                aliases: vec!["chat".into()],
                bundle: "coder@3".into(),
                digest: "sha256:aa".into(),
                ..ServedModel::default()
            }],
            enrolled_uids: vec![0, 1000],
            ..GatewayPolicy::default()
        }
    }

    #[test]
    fn p4_either_clock_ends_the_lease() {
        let code = |now| Policy::parse(policy(), NOW).standing(now).map_err(|refusal| refusal.code);
        assert_eq!(code(NOW), Ok(()));
        assert_eq!(code(Moment { wall_s: 1_999, boottime_ms: 8_999 }), Ok(()));
        assert_eq!(code(Moment { wall_s: 2_000, boottime_ms: 8_999 }), Err(Code::LeaseExpired));
        assert_eq!(code(Moment { wall_s: 1, boottime_ms: 9_000 }), Err(Code::LeaseExpired));
        let unset = GatewayPolicy { serve_until_boottime_ms: 0, ..policy() };
        assert!(Policy::parse(unset, NOW).standing(NOW).is_err());
    }

    #[test]
    fn refusals_name_the_reason_and_the_command() {
        let refused = GatewayPolicy {
            serving: false,
            refusal_code: "E-NOT-COMPLIANT".into(),
            refusal_reason: "disk-encryption failed on /home".into(),
            ..policy()
        };
        let refusal = Policy::parse(refused, NOW).standing(NOW).expect_err("not serving");
        assert_eq!(refusal.message, "not compliant: disk-encryption failed on /home; run `croft why`");
        assert_eq!(refusal.code, Code::NotCompliant);
        let strange = GatewayPolicy { serving: false, refusal_code: "X".into(), ..policy() };
        assert_eq!(
            Policy::parse(strange, NOW).standing(NOW).expect_err("not serving").code,
            Code::NotCompliant
        );
    }

    #[test]
    fn models_are_found_by_name_alias_and_bundle() {
        let policy = Policy::parse(policy(), NOW);
        for name in ["coder", "chat", "coder@3", "coder:latest", "chat:latest"] {
            assert!(policy.model(name).is_ok(), "{name}");
        }
        assert_eq!(policy.model("other").map_err(|refusal| refusal.code), Err(Code::ModelUnknown));
        assert!(policy.still_serves(0, "sha256:aa") && !policy.still_serves(1, "sha256:aa"));
    }

    #[test]
    fn root_is_nobody() {
        let policy = Policy::parse(policy(), NOW);
        assert!(policy.is_enrolled(1000) && !policy.is_enrolled(0));
    }
}
