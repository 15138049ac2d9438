//! `croft chat`: one question, or a conversation. The conversation lives in this process's memory and ends with it.

use std::io::{BufRead, IsTerminal, Read, Write};

use croft_domain::code::Code;

use crate::args::ChatArguments;
use crate::chat::gateway::{Gateway, Turn};
use crate::command::{key, status};
use crate::failure::Failure;
use crate::limits::{STDIN_LEN_MAX, TURNS_MAX};
use crate::paths::Paths;
use crate::{daemon, output};

pub async fn run(paths: &Paths, arguments: &ChatArguments) -> Result<(), Failure> {
    let mut daemon = daemon::connect(paths).await?;
    let status = status::fetch(&mut daemon).await?;
    if !status.is_serving() {
        let code = Code::ALL.iter().copied().find(|code| code.as_str() == status.serving_code);
        return Err(Failure::new(code.unwrap_or(Code::LeaseNone), status.serving_reason));
    }
    let key = key::fetch(&mut daemon, false).await?;
    let gateway = Gateway::new(&status.gateway, key)?;
    match &arguments.prompt {
        Some(prompt) => answer_once(&gateway, &arguments.model, prompt.clone()),
        None if std::io::stdin().is_terminal() => converse(&gateway, &arguments.model),
        None => answer_once(&gateway, &arguments.model, read_stdin()?),
    }
}

fn read_stdin() -> Result<String, Failure> {
    let mut prompt = String::new();
    let mut stdin = std::io::stdin().lock().take(STDIN_LEN_MAX + 1);
    stdin
        .read_to_string(&mut prompt)
        .map_err(|error| Failure::new(Code::Input, format!("cannot read the prompt from stdin: {error}")))?;
    if prompt.len() as u64 > STDIN_LEN_MAX {
        return Err(Failure::new(Code::Input, format!("the prompt is longer than {STDIN_LEN_MAX} bytes")));
    }
    if prompt.trim().is_empty() {
        return Err(Failure::new(Code::Input, "there is no prompt").hint("give one: croft chat \"…\""));
    }
    Ok(prompt)
}

fn answer_once(gateway: &Gateway, model: &str, prompt: String) -> Result<(), Failure> {
    answer(gateway, model, &[Turn { role: "user", content: prompt }]).map(drop)
}

/// Prints the answer as it comes; gives it whole.
fn answer(gateway: &Gateway, model: &str, turns: &[Turn]) -> Result<String, Failure> {
    let mut whole = String::new();
    let mut printed = Ok(());
    gateway.ask(model, turns, |text| {
        whole.push_str(text);
        // A model's text is no more trusted with the terminal than a controller's.
        if printed.is_ok() {
            printed = output::print(&output::printable(text));
        }
    })?;
    printed?;
    output::print("\n")?;
    Ok(whole)
}

fn converse(gateway: &Gateway, model: &str) -> Result<(), Failure> {
    output::say(&format!("Talking with {model}. Nothing is written to disk. Ctrl-D ends."));
    let mut turns: Vec<Turn> = Vec::new();
    loop {
        let _ = write!(std::io::stderr(), "> ");
        let mut line = String::new();
        let read = std::io::stdin().lock().take(STDIN_LEN_MAX).read_line(&mut line);
        let read = read.map_err(|error| Failure::new(Code::Input, format!("cannot read: {error}")))?;
        if read == 0 {
            output::say("");
            return Ok(());
        }
        if line.trim().is_empty() {
            continue;
        }
        remember(&mut turns, Turn { role: "user", content: line.trim_end().to_owned() });
        match answer(gateway, model, &turns) {
            Ok(text) => remember(&mut turns, Turn { role: "assistant", content: text }),
            // The conversation goes on: one refused question is not the end of it.
            Err(failure) => {
                turns.pop();
                output::say(failure.lines().trim_end());
            }
        }
    }
}

/// Keeps the newest turns. Question and answer are forgotten together.
fn remember(turns: &mut Vec<Turn>, turn: Turn) {
    if turns.len() >= TURNS_MAX {
        turns.drain(..2);
    }
    turns.push(turn);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_conversation_forgets_its_beginning() {
        let mut turns = Vec::new();
        for number in 0..200 {
            let role = if number % 2 == 0 { "user" } else { "assistant" };
            remember(&mut turns, Turn { role, content: number.to_string() });
        }
        assert!(turns.len() <= TURNS_MAX);
        assert_eq!(turns.first().map(|turn| turn.role), Some("user"));
        assert_eq!(turns.last().map(|turn| turn.content.as_str()), Some("199"));
    }
}
