//! What the README promises of the code, and what the parts must agree on.

use std::collections::BTreeSet;
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
            "credentials/aws.rs",
            "credentials/aws_chain.rs",
            "credentials/metadata.rs",
            "credentials/provider.rs",
            "credentials/source.rs",
            "credentials/sts.rs",
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
            "clock.rs",
            "credentials/provider.rs",
            "credentials/source.rs",
            "credentials/sts.rs",
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

/// Programs of others, whose output holds nothing of ours.
const PROGRAMS_OF_OTHERS: [&str; 4] = ["\"kill\"", "\"gzip\"", "\"env\"", "env!(\"CARGO\")"];

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

/// The README and the pages of the clouds, by their paths.
pub fn pages() -> Vec<(String, String)> {
    let mut pages = files_below("infra");
    pages.retain(|(name, _)| name.ends_with(".md"));
    for (name, _) in &mut pages {
        *name = format!("infra/{name}");
    }
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    pages.push(("README.md".to_owned(), readme));
    pages
}

/// Where a page's links go.
fn links(page: &str) -> impl Iterator<Item = &str> {
    let rests = page.split("](").skip(1);
    rests.map(|rest| rest.split(')').next().unwrap())
}

#[test]
fn every_file_the_pages_name_exists() {
    let mut found = 0;
    for (page, text) in pages() {
        let in_code = text.split('`').skip(1).step_by(2).filter(|code| {
            let first = code.split('/').next().unwrap();
            !code.contains([' ', '{', '\n', '*'])
                && ["src", "events", "tests", "infra", ".ci"].contains(&first)
        });
        for path in in_code {
            assert!(root().join(path).exists(), "{page}: {path}");
            found += 1;
        }
        let folder = root().join(&page).parent().unwrap().to_owned();
        for link in links(&text) {
            let path = link.split('#').next().unwrap();
            let is_there = path.is_empty() || folder.join(path).exists();
            assert!(link.starts_with("https://") || is_there, "{page}: {link}");
        }
    }
    assert!(found >= 25, "{found}");
}

#[test]
fn every_chapter_the_pages_link_to_exists() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let titles = readme.lines().filter(|line| line.starts_with('#'));
    let anchor = |title: &str| {
        let title = title.trim_start_matches('#').trim().to_lowercase();
        title.replace(' ', "-").replace(['`', '\'', ',', '.'], "")
    };
    let anchors: Vec<_> = titles.map(anchor).collect();
    for (page, text) in pages() {
        for link in links(&text) {
            if link.starts_with("../../README.md#") || link.starts_with('#') {
                let chapter = link.split('#').nth(1).unwrap();
                assert!(anchors.iter().any(|a| a == chapter), "{page}: {link}");
            }
        }
    }
}

/// What deploys, of the files under `infra`; the rest builds.
fn infra() -> Vec<(String, String)> {
    let mut files = files_below("infra");
    files.retain(|(name, _)| !name.starts_with("dist/"));
    files
}

/// What a line of an infrastructure file sets, where that is named like an environment variable:
/// `NAME: value`, `NAME = value` or `ENV NAME=value`.
fn variable(line: &str) -> Option<&str> {
    let line = line.trim().trim_start_matches("ENV ");
    let end = line.find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))?;
    let (name, rest) = line.split_at(end);
    (name.contains('_') && rest.trim_start().starts_with([':', '='])).then_some(name)
}

#[test]
fn every_environment_variable_in_infra_is_a_setting() {
    for (file, text) in infra() {
        let names: Vec<_> = text.lines().filter_map(variable).collect();
        let deploys = [
            "template.yaml",
            "ros.yaml",
            "s.yaml",
            "aws/main.tf",
            "alibaba/main.tf",
        ];
        if deploys.iter().any(|ending| file.ends_with(ending)) {
            assert!(names.contains(&"ARCHIVE_URL"), "{file}: {names:?}");
        }
        for name in names {
            assert!(SETTINGS.contains(&name), "{file}: {name}");
        }
    }
}

#[test]
fn the_templates_of_one_cloud_set_the_same_variables() {
    let files = infra();
    let variables = |name: &str| {
        let (_, text) = files.iter().find(|(file, _)| file == name).unwrap();
        text.lines().filter_map(variable).collect::<BTreeSet<_>>()
    };
    assert_eq!(variables("aws/template.yaml"), variables("aws/main.tf"));
    assert_eq!(variables("alibaba/main.tf"), variables("alibaba/ros.yaml"));
    assert_eq!(variables("alibaba/main.tf"), variables("alibaba/s.yaml"));
}

/// Why a setting is in no file under infra. Every other one is.
const NOT_IN_INFRA: [(&str, &[&str]); 6] = [
    (
        "set by the platform",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_LAMBDA_LOG_LEVEL",
            "AWS_LAMBDA_LOG_FORMAT",
            "FC_FUNCTION_NAME",
            "FC_CUSTOM_LISTEN_PORT",
            "FC_SERVER_PORT",
            "FC_ACCOUNT_ID",
            "ALIBABA_CLOUD_SECURITY_TOKEN",
            "HOME",
        ],
    ),
    (
        "the default is right wherever a template deploys",
        &[
            "ARCHIVE_PROFILE",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_STS",
            "AWS_S3_ADDRESSING_STYLE",
            "AWS_SERVER_SIDE_ENCRYPTION",
            "AWS_SSE_KMS_KEY_ID",
            "AWS_CA_BUNDLE",
            "SSL_CERT_FILE",
            "ECS_ENDPOINT_URL",
            "ECS_SIGNATURE_VERSION",
            "FAILED_EVENTS",
            "RUST_LOG",
            "TRIGGER_STATES",
            "ALIBABA_CLOUD_ROLE_SESSION_NAME",
            "ALIBABA_CLOUD_ROLE_SESSION_POLICY",
            "ALIBABA_CLOUD_STS_REGION",
            "ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED",
            "STS_ENDPOINT_URL",
        ],
    ),
    (
        "credentials of machines and people, where templates use roles",
        &[
            "AWS_PROFILE",
            "ALIBABA_CLOUD_ROLE_EXTERNAL_ID",
            "ALIBABA_CLOUD_OIDC_TOKEN_FILE",
            "ALIBABA_CLOUD_PROFILE",
            "ALIBABA_CLOUD_CLI_PROFILE_DISABLED",
            "ALIBABA_CLOUD_CREDENTIALS_FILE",
            "ALIBABA_CLOUD_ECS_METADATA",
            "ALIBABA_CLOUD_ECS_METADATA_DISABLED",
            "ALIBABA_CLOUD_IMDSV1_DISABLED",
            "ALIBABA_CLOUD_CREDENTIALS_URI",
            "ECS_METADATA_ENDPOINT_URL",
        ],
    ),
    (
        "a token does the same, and an address is known only after the deployment",
        &["WEBHOOK_URL", "WEBHOOK_ACCOUNTS"],
    ),
    ("for trying things out", &["WEBHOOK_ALLOW_UNSIGNED"]),
    (
        "of the network a machine is in, where templates deploy into none",
        &[
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
            "NO_PROXY",
            "no_proxy",
        ],
    ),
];

#[test]
fn every_setting_is_in_infra_or_it_is_said_why_not() {
    let files = infra();
    let deployed = |name: &str| {
        let lines = files.iter().flat_map(|(_, text)| text.lines());
        lines.filter_map(variable).any(|found| found == name)
    };
    let excused = |name: &str| NOT_IN_INFRA.iter().any(|(_, names)| names.contains(&name));
    for name in SETTINGS {
        assert!(
            deployed(name) != excused(name),
            "{name}: in infra {}, excused {}",
            deployed(name),
            excused(name)
        );
    }
    for name in NOT_IN_INFRA.iter().flat_map(|(_, names)| names.iter()) {
        assert!(SETTINGS.contains(name), "{name} is no setting");
    }
}

/// How far above a wildcard the comment that argues for it may begin to be followed by code.
const LINES_BELOW_ARGUMENT: usize = 8;
/// An argument has at least so many words beside the wildcards it names.
const WORDS_OF_ARGUMENT: usize = 5;

/// The wildcards of a line of a policy: words with an asterisk, each interpolation written as `…`.
fn wildcards(line: &str) -> Vec<String> {
    let line = line.replace("[*]", ""); // All items of a list of Terraform's.
    let code = line.trim_start();
    // Asterisks of patterns and of a log's separators.
    let other = [
        "AllowedPattern:",
        "condition ",
        "token ",
        "input.regex",
        "parameters ",
    ];
    if code.starts_with('#') || other.iter().any(|start| code.starts_with(start)) {
        return Vec::new();
    }
    let mut words = String::new();
    let mut rest = code;
    while let Some((before, inside)) = rest.split_once("${") {
        words.push_str(before);
        words.push('…');
        rest = inside.split_once('}').map_or("", |(_, after)| after);
    }
    words.push_str(rest);
    let ends = |c: char| c.is_whitespace() || "\"',[](){}".contains(c);
    let words = words.split(ends).filter(|word| word.contains('*'));
    words.map(str::to_owned).collect()
}

/// The wildcards of a file that the comment above them does not argue for: it names each, in
/// backticks, and says why. What stands between is code without a comment of its own.
fn unargued(text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let comment = |line: &str| Some(line.trim_start().strip_prefix("# ")?.trim().to_owned());
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let above = &lines[..index];
        let below = above
            .iter()
            .rev()
            .take_while(|line| comment(line).is_none());
        let below = below.count();
        let block = above[..index - below].iter().rev();
        let block: Vec<_> = block.map_while(|line| comment(line)).collect();
        let argument = block.into_iter().rev().collect::<Vec<_>>().join(" ");
        let own_words = argument.split('`').step_by(2).collect::<String>();
        let says_why = own_words.split_whitespace().count() >= WORDS_OF_ARGUMENT;
        let is_near = below <= LINES_BELOW_ARGUMENT;
        for wildcard in wildcards(line) {
            if !is_near || !says_why || !argument.contains(&format!("`{wildcard}`")) {
                found.push(format!("{}: `{wildcard}`", index + 1));
            }
        }
    }
    found
}

/// In permissions, principals and resources.
#[test]
fn every_wildcard_in_infra_is_argued_for_by_name() {
    let mut count = 0;
    for (file, text) in infra() {
        if [".yaml", ".tf"].iter().any(|ending| file.ends_with(ending)) {
            assert_eq!(unargued(&text), [""; 0], "infra/{file}");
            count += text.lines().flat_map(wildcards).count();
        }
    }
    assert!(count >= 40, "{count}");
}

#[test]
fn a_comment_that_does_not_name_the_wildcard_or_says_no_why_argues_for_nothing() {
    let policy = |comment: &str| format!("{comment}\n  Effect = \"Allow\"\n  Action = \"s3:*\"\n");
    let good = "# `s3:*`: every action is denied where nothing is encrypted.";
    assert_eq!(unargued(&policy(good)), [""; 0]);
    for bad in [
        "",
        "# ",
        "# `s3:*`",
        "# `s3:*`: TODO.",
        "# It needs every action of everyone on all of it.",
        "# `oss:*`: every action is denied where nothing is encrypted.",
        "# `s3:*`: every action is denied where nothing is encrypted.\n# \n# Other.\nx\n# Own.",
    ] {
        assert_eq!(unargued(&policy(bad)).len(), 1, "{bad:?}");
    }
    let far = format!("{good}\n{}  Action = \"s3:*\"\n", "  x = 1\n".repeat(9));
    assert_eq!(unargued(&far).len(), 1);
    assert_eq!(
        wildcards("  Resource: [!Sub 'acs:oss:*:${A::B}:${C}/*', \"*\"]"),
        ["acs:oss:*:…:…/*", "*"]
    );
    assert_eq!(
        wildcards("  Action = [\"s3:Get*\", x[*].y] # regex"),
        ["s3:Get*"]
    );
}
