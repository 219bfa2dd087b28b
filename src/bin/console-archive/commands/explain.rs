//! `console-archive explain`: what a finding means.

use anyhow::Result;
use clap::Args;
use ecs_console_archiver::printable;
use ecs_console_archiver::reading::findings::{Rule, Rules};
use serde_json::{Value, json};

use super::Context;
use crate::exit::{Exit, WrongInput};
use crate::output::{self, Output};

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
    /// ID of a finding, or its signature
    #[arg(value_name = "ID")]
    id: Option<String>,
}

pub fn run(arguments: &Arguments, context: &Context) -> Result<Exit> {
    let rules = Rules::built_in();
    let Some(asked) = &arguments.id else {
        return list(rules, context.output);
    };
    let id = asked.split(':').next().unwrap_or(asked);
    let Some(rule) = rules.get(id) else {
        let wrong = format!(
            "there is no finding {}; see all of them with console-archive explain",
            printable::one_line(id)
        );
        return Err(WrongInput(wrong).into());
    };
    match context.output {
        Output::Json => output::json(&json(rules, rule))?,
        Output::Text => {
            output::line(format_args!(
                "{}  {}  {}",
                rule.id,
                rule.severity.as_str(),
                rules.family(rule).name
            ))?;
            output::line(format_args!("\n{}\n\n{}", rule.title, rule.advice))?;
            output::line("\nIt is found in lines such as")?;
            for line in &rule.yes {
                output::line(format_args!("  {line}"))?;
            }
            output::line(format_args!("\nSources: {}", rules.family(rule).sources))?;
        }
    }
    Ok(Exit::Done)
}

fn list(rules: &Rules, form: Output) -> Result<Exit> {
    match form {
        Output::Json => output::json(&rules.all().iter().map(|rule| json(rules, rule)).collect())?,
        Output::Text => {
            let width = rules
                .all()
                .iter()
                .map(|rule| rule.id.len())
                .max()
                .unwrap_or_default();
            let mut family = "";
            for rule in rules.all() {
                let name = rules.family(rule).name;
                if name != family {
                    let gap = if family.is_empty() { "" } else { "\n" };
                    output::line(format_args!("{gap}{name}"))?;
                    family = name;
                }
                let severity = rule.severity.as_str();
                output::line(format_args!(
                    "  {:width$}  {severity:7}  {}",
                    rule.id, rule.title
                ))?;
            }
        }
    }
    Ok(Exit::Done)
}

fn json(rules: &Rules, rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "family": rules.family(rule).name,
        "severity": rule.severity,
        "title": rule.title,
        "advice": rule.advice,
        "pattern": rule.pattern,
        "examples": rule.yes,
        "sources": rules.family(rule).sources,
    })
}
