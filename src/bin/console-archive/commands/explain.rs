//! `console-archive explain`: what a finding means.

use std::io::{IsTerminal as _, Write as _, stdout};

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::printable;
use ecs_console_archiver::reading::findings::{Rule, Rules};
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};
use crate::pager::Destination;

/// Explain what a finding means, and what to do
///
/// Without an ID, list all that can be found.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  console-archive explain
  console-archive explain root-not-mounted
  console-archive explain kernel-null-dereference:ext4_readdir    # a signature")]
pub struct Arguments {
    /// ID of a finding, or its signature; or a family, to list its findings
    #[arg(value_name = "ID")]
    id: Option<String>,
    /// Print without a pager
    #[arg(long)]
    no_pager: bool,
}

pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    let rules = Rules::current();
    let width = output::width();
    let Some(asked) = &arguments.id else {
        match context.output {
            Output::Json => {
                output::json(&rules.all().iter().map(json).collect())?;
            }
            Output::Text => arguments.print(&list(rules.all().iter(), width))?,
        }
        return Ok(Exit::Done);
    };
    let id = asked.split(':').next().unwrap_or(asked);
    let family = || rules.all().iter().filter(|rule| rule.family == id);
    let Some(rule) = rules.get(id) else {
        if family().next().is_some() {
            match context.output {
                Output::Json => output::json(&family().map(json).collect())?,
                Output::Text => arguments.print(&list(family(), width))?,
            }
            return Ok(Exit::Done);
        }
        let wrong = format!(
            "there is no finding {}; see all of them with console-archive explain",
            printable::one_line(id)
        );
        return Err(WrongInput(wrong).into());
    };
    match context.output {
        Output::Json => output::json(&json(rule))?,
        Output::Text => arguments.print(&page(rule, width))?,
    }
    Ok(Exit::Done)
}

impl Arguments {
    fn print(&self, page: &str) -> Result<()> {
        let is_paged = stdout().is_terminal() && !self.no_pager;
        let mut destination = match is_paged {
            true => Destination::pager(false)?,
            false => Destination::stdout(),
        };
        destination.write_all(page.as_bytes())?;
        destination.close()?;
        Ok(())
    }
}

fn page(rule: &Rule, width: Option<usize>) -> String {
    let mut lines = vec![
        format!("{}  {}  {}", rule.id, rule.severity.as_str(), rule.family),
        String::new(),
        rule.title.to_string(),
        String::new(),
        rule.advice().to_string(),
        String::new(),
    ];
    let note = rule.note();
    match rule.is_of_line() {
        true => {
            lines.push("It is found in lines such as".to_owned());
            lines.extend(note.yes.iter().map(|line| format!("  {line}")));
        }
        false => lines.push(format!("No line says it. {}", note.when)),
    }
    lines.extend([String::new(), format!("Sources: {}", rule.note().sources)]);
    let fitted = lines.iter().map(|line| output::wrapped(line, width) + "\n");
    fitted.collect()
}

fn list<'r>(rules: impl Iterator<Item = &'r Rule> + Clone, width: Option<usize>) -> String {
    let ids = rules.clone().map(|rule| rule.id.len());
    let of_id = ids.max().unwrap_or_default();
    let (mut shown, mut family) = (String::new(), "");
    for rule in rules {
        let name = rule.family;
        if name != family {
            let gap = if family.is_empty() { "" } else { "\n" };
            shown += &format!("{gap}{name}\n");
            family = name;
        }
        let severity = rule.severity.as_str();
        let line = format!("  {:of_id$}  {severity:7}  {}", rule.id, rule.title);
        let title_at = 2 + of_id + 2 + 7 + 2;
        shown += &(output::hanging(&line, title_at, width) + "\n");
    }
    shown
}

fn json(rule: &Rule) -> Value {
    let mut json = json!({
        "id": rule.id,
        "family": rule.family,
        "severity": rule.severity,
        "title": rule.title,
        "advice": rule.advice(),
        "sources": rule.note().sources,
    });
    match rule.is_of_line() {
        true => {
            json["pattern"] = json!(rule.pattern);
            json["examples"] = json!(rule.note().yes);
        }
        false => json["when"] = json!(rule.note().when),
    }
    json
}
