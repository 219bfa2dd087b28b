//! What the README promises of the code, and what the parts must agree on.

use std::path::{Path, PathBuf};
use std::process::Command;

use ecs_console_archiver::config::SETTINGS;

use crate::support::*;

/// Everything below a folder of the repository, by its path from there.
fn files_below(folder: &str) -> Vec<(String, String)> {
    fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, found)
            } else {
                found.push(path)
            }
        }
    }
    let folder = root().join(folder);
    let mut found = Vec::new();
    collect(&folder, &mut found);
    let read = |path: PathBuf| {
        let name = path.strip_prefix(&folder).unwrap().to_str().unwrap();
        (name.to_owned(), std::fs::read_to_string(&path).unwrap())
    };
    found.into_iter().map(read).collect()
}

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
fn only_the_configuration_reads_the_environment() {
    assert_eq!(files_with(&["std::env::", "env::var"]), ["config.rs"]);
}

#[test]
fn only_these_files_call_out_or_listen() {
    assert_eq!(
        files_with(&["reqwest::Client"]),
        [
            "config.rs",
            "credentials/mod.rs",
            "credentials/source.rs",
            "ecs/mod.rs",
            "http.rs",
            "queue.rs",
            "store/bucket.rs",
            "webhook/gate.rs"
        ]
    );
    assert_eq!(
        files_with(&["TcpListener"]),
        ["host.rs", "simulator/mod.rs"]
    );
}

#[test]
fn only_the_edges_read_a_clock_or_random_bytes() {
    assert_eq!(
        files_with(&[
            "Timestamp::now",
            "SystemTime::now",
            "Instant::now",
            "getrandom::"
        ]),
        [
            "capture.rs",
            "clock.rs",
            "credentials/mod.rs",
            "credentials/source.rs",
            "ecs/mod.rs",
            "handler.rs",
            "lambda.rs",
            "retry.rs",
            "simulator/mod.rs",
            "webhook/gate.rs"
        ]
    );
}

#[test]
fn only_the_configuration_knows_the_names_of_settings_that_hold_secrets() {
    let names = files_with(&[
        "\"ALIBABA_CLOUD_ACCESS_KEY_SECRET\"",
        "\"AWS_SECRET_ACCESS_KEY\"",
    ]);
    assert_eq!(names, ["config.rs", "config/keys.rs"]);
}

/// The other half: what goes through there is checked.
#[test]
fn whatever_a_program_prints_in_the_suite_is_searched_for_secrets() {
    let mut starts_programs = 0;
    for (name, code) in files_below("tests/suite") {
        if code.contains("program(\"") {
            assert!(code.contains("printed::"), "{name}");
            starts_programs += 1;
        }
    }
    assert!(starts_programs >= 7, "{starts_programs}");
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
        "comfy-table",
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

#[test]
fn every_setting_has_a_row_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for name in SETTINGS {
        assert!(
            readme.contains(&format!("| `{name}`")) || readme.contains(&format!(", `{name}` |")),
            "{name} has no row"
        );
    }
}

#[test]
fn every_file_the_readme_names_exists() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let paths: Vec<_> = readme
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| {
            let first = code.split('/').next().unwrap();
            !code.contains([' ', '{', '\n', '*'])
                && ["src", "events", "tests", "infra", ".ci"].contains(&first)
        })
        .collect();
    assert!(paths.len() >= 10, "{paths:?}");
    for path in paths {
        assert!(root().join(path).exists(), "{path}");
    }
}

#[test]
fn every_environment_variable_in_infra_is_a_setting() {
    for (file, opening, indent) in [
        ("infra/aws/template.yaml", "Variables:", 10),
        ("infra/alibaba/main.tf", "environment_variables = {", 4),
    ] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let variables = text.split(opening).nth(1).unwrap();
        let names: Vec<_> = variables
            .lines()
            .skip(1)
            .take_while(|line| line.starts_with(&" ".repeat(indent)))
            .filter_map(|line| line.trim().split([':', ' ']).next())
            .collect();
        assert!(names.contains(&"ARCHIVE_URL"), "{file}: {names:?}");
        for name in names {
            assert!(SETTINGS.contains(&name), "{file}: {name}");
        }
    }
}

/// In permissions and principals; a comment of at most eight lines before says why.
#[test]
fn every_wildcard_in_infra_is_argued() {
    let template = std::fs::read_to_string(root().join("infra/aws/template.yaml")).unwrap();
    let lines: Vec<_> = template.lines().collect();
    let wildcards = lines.iter().enumerate().filter(|(_, line)| {
        let value = line.split(": ").last().unwrap_or_default();
        value == "\"*\"" || value.ends_with(":*")
    });
    let mut found = 0;
    for (index, line) in wildcards {
        let before = &lines[index.saturating_sub(8)..index];
        let is_argued = before
            .iter()
            .any(|line| line.trim_start().starts_with("# "));
        assert!(is_argued, "line {}: {line}", index + 1);
        found += 1;
    }
    assert!(found >= 4, "{found}");
}
