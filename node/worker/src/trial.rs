//! What the model must show before anybody may ask it: the check prompts that were approved with it.
//!
//! The answer needs only hold a text, since numerics differ by back end. Prompts and answers go nowhere: a failure says
//! which check it was, and no more.

use std::fs::File;
use std::io::Read as _;
use std::time::Instant;

use croft_proto::frames::{
    Cancel, ChatMessage, Check, Conversation, Generate, Sampling, Trial, generate, to_worker,
};
use prost::Message as _;

use crate::clock;
use crate::engine::{Engine, Outbound};
use crate::fault::Fault;
use crate::limits::{CHECK_TOKENS_MAX, CHECKS_MAX, CHECKS_TIME_MAX, TRIAL_LEN_MAX};

/// Whose prefix cache the checks use: nobody's, since callers have numbers that the gateway draws from few.
const PARTITION: u64 = u64::MAX;

/// Reads the trial that the daemon passed.
///
/// # Errors
/// [`Fault::Trial`] if it is too long or not one.
pub fn read(file: &File) -> Result<Trial, Fault> {
    let mut bytes = Vec::new();
    file.take(TRIAL_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|_| Fault::Trial)?;
    if bytes.len() as u64 > TRIAL_LEN_MAX {
        return Err(Fault::Trial);
    }
    let trial = Trial::decode(bytes.as_slice()).map_err(|_| Fault::Trial)?;
    let is_check = |check: &Check| !check.prompt.is_empty() && !check.contains.is_empty();
    let is_sound = trial.checks.len() <= CHECKS_MAX && trial.checks.iter().all(is_check);
    if is_sound { Ok(trial) } else { Err(Fault::Trial) }
}

/// Asks every check, greedily; gives their number.
///
/// # Errors
/// [`Fault::Check`] with the first that is not answered as it must be, or not in time.
pub fn pass(engine: &mut Engine<'_>, trial: &Trial, has_template: bool) -> Result<u32, Fault> {
    let deadline = clock::now() + CHECKS_TIME_MAX;
    for (index, check) in trial.checks.iter().enumerate() {
        let failed = |why| Fault::Check { number: index + 1, of: trial.checks.len(), why };
        ask(engine, check, has_template, deadline).map_err(failed)?;
    }
    Ok(u32::try_from(trial.checks.len()).unwrap_or(u32::MAX))
}

fn ask(
    engine: &mut Engine<'_>,
    check: &Check,
    has_template: bool,
    deadline: Instant,
) -> Result<(), &'static str> {
    let user =
        || ChatMessage { role: "user".into(), content: check.prompt.clone(), ..ChatMessage::default() };
    let input = if has_template {
        generate::Input::Chat(Conversation { messages: vec![user()] })
    } else {
        generate::Input::Prompt(check.prompt.clone())
    };
    let generate = Generate {
        input: Some(input),
        sampling: Some(Sampling::default()),
        max_tokens: CHECK_TOKENS_MAX,
        cache_partition: PARTITION,
        ..Generate::default()
    };
    let request = generate.request;
    if engine.accept(to_worker::Frame::Generate(generate)).is_some() {
        return Err("the model does not take the question");
    }
    let mut answer = String::new();
    loop {
        if clock::now() > deadline {
            return Err("no answer in time");
        }
        let (mut ended, mut failed) = (false, false);
        for frame in engine.step() {
            match frame {
                Outbound::Step(step) => {
                    for piece in step.pieces {
                        answer.push_str(&piece.text);
                        ended |= piece.finished.is_some();
                    }
                }
                _ => failed = true,
            }
        }
        if answer.contains(&check.contains) {
            // Nothing more is wanted; without a request of this number this does nothing.
            engine.accept(to_worker::Frame::Cancel(Cancel { request }));
            return Ok(());
        }
        if failed {
            return Err("the model could not evaluate the question");
        }
        if ended {
            return Err("the answer does not hold what it must");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, Write as _};

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("written");
        file.rewind().expect("rewound");
        file
    }

    #[test]
    fn a_trial_is_bounded_and_each_check_demands_something() {
        let check = |contains: &str| Check { prompt: "p".into(), contains: contains.into() };
        let read_back = |checks: Vec<Check>| read(&file(&Trial { checks, measure: None }.encode_to_vec()));
        assert_eq!(read_back(vec![check("x"); CHECKS_MAX]).expect("fits").checks.len(), CHECKS_MAX);
        assert!(read_back(vec![check("x"); CHECKS_MAX + 1]).is_err());
        assert!(read_back(vec![check("")]).is_err(), "an empty text is in every answer");
        assert!(read(&file(b"\xff\xff")).is_err());
        let len = usize::try_from(TRIAL_LEN_MAX).expect("small");
        assert!(read_back(vec![Check { prompt: "p".repeat(len), contains: "x".into() }]).is_err());
    }
}
