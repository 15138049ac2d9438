//! The report's counters of use, as lines of its table.

use croft_domain::tally::{Amount, Tally, UsageGroup, UsageLine};
use croft_domain::usage::Sensitivity;
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct UsageView {
    days: u32,
    lines: Vec<LineView>,
    content: Vec<[String; 3]>,
}

#[derive(Serialize)]
struct LineView {
    group: String,
    model: String,
    data_class: &'static str,
    nodes: u32,
    amount: Amount,
}

pub(super) fn view(tally: &Tally) -> UsageView {
    let Tally { days, nodes, amount, groups, content } = tally;
    let whole = |group: String, nodes: u32, amount: &Amount| LineView {
        group,
        model: "all".to_owned(),
        data_class: "all",
        nodes,
        amount: *amount,
    };
    let mut lines = vec![whole("all".to_owned(), *nodes, amount)];
    for UsageGroup { group, nodes, amount, lines: parts } in groups {
        let group = group.as_ref().map_or_else(|| "others together".to_owned(), ToString::to_string);
        lines.push(whole(group.clone(), *nodes, amount));
        lines.extend(parts.iter().map(|UsageLine { model, data_class, nodes, amount }| LineView {
            group: group.clone(),
            model: model.as_ref().map_or_else(|| "others together".to_owned(), ToString::to_string),
            data_class: data_class.map_or("", Sensitivity::as_str),
            nodes: *nodes,
            amount: *amount,
        }));
    }
    let content = content.iter().map(|line| {
        let kind = line.kind.map_or("other kinds", |kind| kind.as_str());
        [kind.to_owned(), line.nodes.to_string(), line.requests.to_string()]
    });
    UsageView { days: *days, lines, content: content.collect() }
}
