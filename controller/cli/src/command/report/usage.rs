//! `report usage`: the report's counters as a table.

use croft_domain::report::Report;
use croft_domain::tally::{Amount, ContentLine, Tally, UsageGroup, UsageLine};
use croft_domain::usage::Sensitivity;
use serde::Serialize;

use crate::args::Format;
use crate::error::CtlError;
use crate::output::{Column, Resource, column, print_list, say};

/// Prints it. What is withheld is said, and not left out in silence.
pub(super) fn print(report: &Report, output: Format) -> Result<(), CtlError> {
    let Tally { days, nodes, amount, groups, content } = &report.usage;
    let all = Line { group: "all".to_owned(), ..Line::of(*nodes, amount) };
    let lines: Vec<Line> = std::iter::once(all).chain(groups.iter().flat_map(of_group)).collect();
    print_list(&lines, output)?;
    say(&format!(
        "the last {days} days; numbers about fewer than five nodes are summed with others, or not told"
    ));
    for ContentLine { kind, nodes, requests } in content {
        let kind = kind.map_or("other kinds", |kind| kind.as_str());
        say(&format!("the guard found {kind} in {requests} requests and answers on {nodes} nodes"));
    }
    Ok(())
}

fn of_group(of: &UsageGroup) -> Vec<Line> {
    let group = of.group.as_ref().map_or_else(|| "others together".to_owned(), ToString::to_string);
    let line = |line: &UsageLine| Line {
        group: group.clone(),
        model: line.model.as_ref().map_or_else(|| "others together".to_owned(), ToString::to_string),
        data_class: line.data_class.map_or("", Sensitivity::as_str).to_owned(),
        ..Line::of(line.nodes, &line.amount)
    };
    let whole = Line { group: group.clone(), ..Line::of(of.nodes, &of.amount) };
    std::iter::once(whole).chain(of.lines.iter().map(line)).collect()
}

/// One line, as `-o json` writes it. Without a model it is the sum of its group.
#[derive(Debug, Serialize)]
struct Line {
    group: String,
    model: String,
    data_class: String,
    nodes: u32,
    requests: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    redacted: u64,
    blocked: u64,
}

impl Line {
    fn of(nodes: u32, amount: &Amount) -> Self {
        let Amount { requests, prompt_tokens, completion_tokens, redacted, blocked } = *amount;
        let (group, model, data_class) = (String::new(), String::new(), String::new());
        Self {
            group,
            model,
            data_class,
            nodes,
            requests,
            prompt_tokens,
            completion_tokens,
            redacted,
            blocked,
        }
    }
}

impl Resource for Line {
    const COLUMNS: &'static [Column] = &[
        column("GROUP"),
        column("MODEL"),
        column("DATA CLASS"),
        column("NODES"),
        column("REQUESTS"),
        column("PROMPT TOKENS"),
        column("ANSWER TOKENS"),
        column("REDACTED"),
        column("BLOCKED"),
    ];

    fn cells(&self) -> Vec<String> {
        let Self { group, model, data_class, .. } = self;
        let numbers =
            [self.requests, self.prompt_tokens, self.completion_tokens, self.redacted, self.blocked];
        let texts = [group.clone(), model.clone(), data_class.clone(), self.nodes.to_string()];
        texts.into_iter().chain(numbers.map(|number| number.to_string())).collect()
    }

    fn name(&self) -> String {
        self.group.clone()
    }
}
