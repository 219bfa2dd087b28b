//! What the pages say of the code: settings, exit codes, outcomes, error types, commands, messages,
//! targets, paths and links.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ecs_console_archiver::config::{Config, ConfigError, Environment, Host, SETTINGS};
use ecs_console_archiver::http::HttpOptions;
use ecs_console_archiver::intake::triggers::Triggers;
use ecs_console_archiver::log::LogConfig;

use crate::support::printed::checked;
use crate::support::*;

/// Pages at the root of the repository.
const ROOT_PAGES: [&str; 5] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
];
/// Folders that may have pages.
const FOLDERS: [&str; 3] = ["docs", "infra", "events"];
/// Most lines of what is read in the first ten minutes.
const MAX_README_LINES: usize = 200;

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every page, by its path.
fn pages() -> Vec<(String, String)> {
    let mut pages: Vec<_> = (ROOT_PAGES.iter())
        .map(|name| ((*name).to_owned(), page(name)))
        .collect();
    for folder in FOLDERS {
        let files = files_in(&root().join(folder)).into_iter();
        let files = files.filter(|(name, _)| name.ends_with(".md"));
        pages.extend(files.map(|(name, bytes)| (format!("{folder}/{name}"), text(&bytes))));
    }
    pages
}

/// A page's text, without its fenced blocks.
fn prose(page: &str) -> String {
    let parts = page.split("\n```");
    parts
        .enumerate()
        .filter(|(index, _)| index % 2 == 0)
        .map(|(index, part)| match index {
            0 => part,
            _ => part.split_once('\n').map_or("", |(_, rest)| rest),
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// What stands in backticks in a page's text.
fn in_code(page: &str) -> Vec<String> {
    let prose = prose(page);
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(str::to_owned).collect()
}

/// The fenced blocks of a page that hold commands.
fn command_blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    for opening in ["\n```sh\n", "\n```shell\n"] {
        let rests = page.split(opening).skip(1);
        blocks.extend(rests.map(|rest| rest.split("\n```").next().unwrap().to_owned()));
    }
    blocks
}

/// The cells of the rows of a page's tables.
fn rows(page: &str) -> Vec<Vec<String>> {
    let rows = page.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &str| {
        let line = line.trim().trim_start_matches('|').trim_end_matches('|');
        line.split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect::<Vec<_>>()
    };
    rows.map(cells).collect()
}

/// The words in backticks in a cell.
fn words(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A bar in a cell would end it, also between backticks.
#[test]
fn every_row_of_a_table_has_as_many_cells_as_its_header() {
    for (path, text) in pages() {
        let mut cells = None;
        for line in prose(&text).lines() {
            let bars = line.matches('|').count() - line.matches("\\|").count();
            match cells {
                _ if !line.starts_with('|') => cells = None,
                None => cells = Some(bars),
                Some(header) => assert_eq!(bars, header, "{path}: {line}"),
            }
        }
    }
}

#[test]
fn the_readme_is_read_in_ten_minutes() {
    let lines = page("README.md").lines().count();
    assert!(lines <= MAX_README_LINES, "{lines} lines");
}

#[test]
fn every_page_is_in_the_index() {
    let index = page("docs/README.md");
    for (path, _) in pages() {
        let Some(name) = path.strip_prefix("docs/") else {
            continue;
        };
        let is_there = name == "README.md" || index.contains(&format!("]({name})"));
        assert!(is_there, "{path} is not in docs/README.md");
    }
    let readme = page("README.md");
    for link in ["docs/README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]
        .into_iter()
        .chain(["SECURITY.md", "CHANGELOG.md", "infra/aws/README.md"])
        .chain(["infra/alibaba/README.md", "infra/webhook/README.md"])
    {
        assert!(readme.contains(&format!("]({link})")), "{link}");
    }
}

/// Where a page's links go.
fn links(page: &str) -> Vec<String> {
    let prose = prose(page);
    let rests = prose.split("](").skip(1);
    rests
        .map(|rest| rest.split(')').next().unwrap().to_owned())
        .collect()
}

#[test]
fn every_path_the_pages_name_exists() {
    let mut found = 0;
    for (page, text) in pages() {
        let is_path = |code: &String| {
            let first = code.split('/').next().unwrap();
            let folders = [
                "src", "docs", "events", "tests", "infra", "fuzz", ".ci", ".github",
            ];
            // Braces and asterisks stand for names that a reader makes up.
            code.contains('/') && !code.contains([' ', '{', '\n', '*']) && folders.contains(&first)
        };
        for path in in_code(&text).iter().filter(|code| is_path(code)) {
            // By `make fuzz`, and by the reader of a deploy page.
            let made = ["fuzz/corpus", "/regions.tf", "/terraform.tfvars"];
            let is_made = made.iter().any(|name| path.ends_with(name));
            assert!(root().join(path).exists() || is_made, "{page}: {path}");
            found += 1;
        }
    }
    assert!(found >= 100, "{found}");
}

/// A title's anchor, as GitHub makes it.
fn anchor(title: &str) -> String {
    let title = title.trim_start_matches('#').trim().to_lowercase();
    title
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The paths of a tree in a fenced block: two spaces a level, a folder ends with a slash.
fn tree(block: &str) -> BTreeSet<String> {
    let mut folders: Vec<&str> = Vec::new();
    let mut paths = BTreeSet::new();
    for line in block.lines() {
        let level = (line.len() - line.trim_start().len()) / 2;
        folders.truncate(level);
        // Several names that have a comment in common stand on one line.
        let words = line.split_whitespace();
        let names: Vec<_> = words
            .take_while(|word| word.ends_with('/') || word.ends_with(".rs"))
            .collect();
        let above = folders.concat();
        paths.extend(names.iter().map(|name| format!("{above}{name}")));
        if let [folder] = names[..]
            && folder.ends_with('/')
        {
            folders.push(folder);
        }
    }
    paths
}

/// Folders, and the files that are in none below `src`.
#[test]
fn the_tree_in_the_architecture_is_that_of_the_code() {
    let page = page("ARCHITECTURE.md");
    let (_, block) = page.split_once("```text\nsrc/\n").unwrap();
    let drawn = tree(&format!("src/\n{}", block.split("```").next().unwrap()));
    for path in &drawn {
        assert!(root().join(path).exists(), "{path}");
    }
    let mut folders = BTreeSet::new();
    for (file, _) in files_below("src") {
        let folder = match file.split('/').collect::<Vec<_>>()[..] {
            [file] => file.to_owned(),
            ["bin", file] => format!("bin/{file}"),
            ["bin", program, ..] => format!("bin/{program}/"),
            [folder, ..] => format!("{folder}/"),
            [] => unreachable!(),
        };
        folders.insert(format!("src/{folder}"));
    }
    for path in folders {
        assert!(drawn.contains(&path), "{path} is not in ARCHITECTURE.md");
    }
}

#[test]
fn every_link_goes_to_a_page_and_a_title_that_exist() {
    let mut found = 0;
    for (path, text) in pages() {
        let folder = root().join(&path).parent().unwrap().to_owned();
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, title) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                root().join(&path)
            } else {
                folder.join(file)
            };
            assert!(target.exists(), "{path}: {link}");
            if !title.is_empty() {
                let target = std::fs::read_to_string(target).unwrap();
                let prose = prose(&target);
                let mut titles = prose.lines().filter(|line| line.starts_with('#'));
                assert!(titles.any(|line| anchor(line) == title), "{path}: {link}");
            }
            found += 1;
        }
    }
    assert!(found >= 80, "{found}");
}

/// Names, meaning and default of each setting's row.
fn setting_rows() -> Vec<(Vec<String>, String, String)> {
    let is_setting = |row: &Vec<String>| row.len() == 3 && row[0].starts_with('`');
    let rows = rows(&page("docs/settings.md")).into_iter();
    rows.filter(is_setting)
        .map(|row| {
            let names = words(&row[0]).into_iter().map(str::to_owned).collect();
            (names, row[1].clone(), row[2].clone())
        })
        .collect()
}

#[test]
fn every_setting_has_one_row_with_its_meaning_and_default() {
    let rows = setting_rows();
    let mut named: Vec<_> = rows.iter().flat_map(|(names, ..)| names.clone()).collect();
    for (names, meaning, default) in &rows {
        assert!(!meaning.is_empty() && !default.is_empty(), "{names:?}");
    }
    named.sort();
    let mut settings = SETTINGS.map(str::to_owned).to_vec();
    settings.sort();
    assert_eq!(named, settings);
}

/// What the program makes of its settings.
#[derive(Debug, PartialEq)]
struct Read {
    config: Result<Config, ConfigError>,
    host: Result<Host, ConfigError>,
    log: LogConfig,
}

/// A home with a file of each kind that credentials are looked for in.
fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir().unwrap();
    let ini = "[default]\ntype = access_key\naccess_key_id = of-sdk\naccess_key_secret = x\n";
    let json = r#"{"current": "a", "profiles": [{"name": "a", "mode": "AK",
        "access_key_id": "of-cli", "access_key_secret": "x"}]}"#;
    for (file, text) in [
        (".alibabacloud/credentials.ini", ini.to_owned()),
        ("another.ini", ini.replace("of-sdk", "another")),
        (".aliyun/config.json", json.to_owned()),
    ] {
        let path = home.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    home
}

/// The settings that the program cannot do without, replaced by `set`; an empty one is not set.
fn read_settings(home: &Path, set: &[(&str, &str)]) -> Read {
    let least = [
        ("ARCHIVE_URL", "s3://consoles/kept"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_ENDPOINT_URL_S3", "https://s3.example.com"),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "key"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "secret"),
        ("FC_FUNCTION_NAME", "archiver"),
    ];
    let environment = Environment::new(|name| {
        let of_name = |(set, _): &&(&str, &str)| *set == name;
        let value = least.iter().chain(set).rfind(of_name)?.1;
        Some(value.replace('~', home.to_str().unwrap()))
    });
    let mut config = Config::from_environment(&environment);
    if let Ok(config) = &mut config {
        // Which hosts are reached without a proxy grows with the addresses that are set.
        config.http = HttpOptions::default();
    }
    Read {
        config,
        host: Host::from_environment(&environment),
        log: LogConfig::from_environment(&environment),
    }
}

type Setting = (&'static str, &'static str);

/// Neither keys nor Function Compute, which has no metadata service and keys of its own.
const NO_KEY: [Setting; 3] = [
    ("ALIBABA_CLOUD_ACCESS_KEY_ID", ""),
    ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ""),
    ("FC_FUNCTION_NAME", ""),
];
const FILES: [Setting; 4] = [NO_KEY[0], NO_KEY[1], NO_KEY[2], ("HOME", "~")];
const SDK_FILE: [Setting; 5] = [
    NO_KEY[0],
    NO_KEY[1],
    NO_KEY[2],
    ("HOME", "~"),
    ("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true"),
];
const ROLE: [Setting; 1] = [("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/archiver")];
const STS_REGION: [Setting; 1] = [("ALIBABA_CLOUD_STS_REGION", "cn-hangzhou")];

const TOLD: [Setting; 1] = [(
    "NOTIFY_URLS",
    "slack+https://hooks.slack.com/services/T0/B0/a",
)];

/// Each setting whose default is a value, another value, and what must be set for either to count.
const OTHER_VALUES: [(&str, &str, &[Setting]); 21] = [
    ("CATALOG", "off", &[]),
    ("REDACT", "store", &[]),
    ("SCREENSHOTS", "never", &[]),
    ("SCREENSHOTS_WAKE_UP", "on", &[]),
    ("OBJECT_LOCK_DAYS", "30", &[]),
    ("NOTIFY_SEVERITY", "fatal", &TOLD),
    ("AWS_S3_ADDRESSING_STYLE", "virtual", &[]),
    ("FOLLOW_SECONDS", "1", &[]),
    ("ECS_SIGNATURE_VERSION", "1.0", &[]),
    ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "another", &ROLE),
    ("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true", &FILES),
    ("ALIBABA_CLOUD_CREDENTIALS_FILE", "~/another.ini", &SDK_FILE),
    ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true", &NO_KEY),
    ("ALIBABA_CLOUD_IMDSV1_DISABLED", "true", &NO_KEY),
    ("ECS_METADATA_ENDPOINT_URL", "http://127.0.0.1:1", &NO_KEY),
    ("STS_ENDPOINT_URL", "https://sts.example.com", &[]),
    ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true", &STS_REGION),
    ("WEBHOOK_ALLOW_UNSIGNED", "true", &[]),
    ("AWS_LAMBDA_LOG_LEVEL", "DEBUG", &[]),
    ("AWS_LAMBDA_LOG_FORMAT", "JSON", &[]),
    ("FC_CUSTOM_LISTEN_PORT", "9001", &[]),
];

#[test]
fn a_setting_set_to_its_default_changes_nothing_and_another_value_does() {
    let home = home();
    let mut defaults = 0;
    for (names, _, default) in setting_rows() {
        let Some(value) = default.strip_prefix('`').and_then(|d| d.strip_suffix('`')) else {
            continue;
        };
        if value.contains('`') {
            continue; // A sentence that begins and ends with a value.
        }
        let name = names[0].as_str();
        let other = OTHER_VALUES.iter().find(|(other, ..)| *other == name);
        let (_, other, context) = other.expect(name);
        let with = |value| {
            let set: Vec<_> = context.iter().copied().chain([(name, value)]).collect();
            read_settings(home.path(), &set)
        };
        let unset = with("");
        assert!(unset.config.is_ok(), "{name}: {:?}", unset.config);
        assert!(with(value) == unset, "{name}: {value} is not the default");
        assert!(with(other) != unset, "{name}: {other} changes nothing");
        defaults += 1;
    }
    assert_eq!(defaults, OTHER_VALUES.len());
}

#[test]
fn a_setting_that_is_required_is_missed_by_name() {
    let home = home();
    let mut required = 0;
    for (names, _, default) in setting_rows() {
        if default.starts_with("required") {
            let name = names[0].as_str();
            let error = read_settings(home.path(), &[(name, "")]).config;
            let error = error.expect_err(name).to_string();
            assert!(error.contains(&format!("{name}: not set")), "{error}");
            required += 1;
        }
    }
    assert!(required >= 4, "{required}");
}

#[test]
fn the_events_that_lead_to_a_capture_by_default_are_listed() {
    let page = page("docs/events.md");
    let (_, table) = page.split_once("| Event | Why |\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let named: Vec<_> = rows
        .flat_map(|row| words(row.split(" | ").next().unwrap()).clone())
        .collect();
    let default = Triggers::default();
    for name in &named {
        let triggers = Triggers::parse(name).unwrap();
        let all = format!("{default:?}");
        assert!(
            all.contains(&format!("{name:?}")),
            "{name}: {all}, {triggers:?}"
        );
    }
    assert!(Triggers::parse(&named.join(",")).is_ok());
    assert_eq!(format!("{default:?}").matches('"').count() / 2, named.len());
}

#[test]
fn the_times_at_which_ecs_is_asked_are_those_of_the_plans() {
    let plans = std::fs::read_to_string(root().join("src/capture/follow/plan.rs")).unwrap();
    let page = page("docs/freshness.md");
    let mut found = 0;
    for rest in plans.split("    looks: &[").skip(1) {
        let looks = rest.split(']').next().unwrap();
        assert!(page.contains(&format!("| 0, {looks}")), "{looks}");
        found += 1;
    }
    assert_eq!(found, 4);
}

/// What `console-archive --help` prints.
fn help() -> String {
    let mut help = Command::new(program("console-archive"));
    let help = checked(help.arg("--help").output().unwrap());
    text(&help.stdout)
}

#[test]
fn every_exit_code_has_a_row() {
    let help = help();
    let (_, codes) = help
        .split_once("Exit codes:\n")
        .expect("no exit codes in --help");
    let digit = |line: &str| {
        line.trim()
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
    };
    let told: BTreeSet<u8> = codes.lines().filter_map(digit).collect();
    let page = page("docs/outcomes.md");
    let (_, table) = page.split_once("| Exit code | Meaning |\n").unwrap();
    let rows = rows(table.split("\n\n").next().unwrap());
    let rows: BTreeSet<u8> = rows.iter().filter_map(|row| row[0].parse().ok()).collect();
    assert_eq!(rows, told);
    assert!(rows.contains(&0) && rows.len() >= 4, "{rows:?}");
}

/// The code, every file of it.
fn code() -> Vec<String> {
    let files = files_below("src").into_iter();
    files.map(|(_, text)| text).collect()
}

/// The names of an enum's variants, as they stand in the code.
fn variants(name: &str) -> Vec<String> {
    let opening = format!("pub enum {name} {{\n");
    let code = code();
    let body = code.iter().find_map(|text| text.split_once(&opening));
    let (_, body) = body.expect(name);
    let body = body.split("\n}").next().unwrap();
    let is_variant = |line: &&str| {
        let rest = line.strip_prefix("    ").unwrap_or_default();
        rest.starts_with(|c: char| c.is_ascii_uppercase())
    };
    let word = |line: &str| {
        let line = line.trim();
        let end = line.find(|c: char| !c.is_ascii_alphanumeric());
        line[..end.unwrap_or(line.len())].to_owned()
    };
    body.lines().filter(is_variant).map(word).collect()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// The first cells of the table below this header, as far as they are in backticks.
fn first_cells(page: &str, header: &str) -> BTreeSet<String> {
    let (_, table) = page.split_once(header).expect(header);
    let rows = rows(table.split("\n\n").next().unwrap());
    let first = |row: &Vec<String>| Some((*words(&row[0]).first()?).to_owned());
    rows.iter().filter_map(first).collect()
}

#[test]
fn every_outcome_and_error_type_has_a_row() {
    let page = page("docs/outcomes.md");
    let in_code = |name: &str| variants(name).iter().map(|v| snake_case(v)).collect();
    let outcomes: BTreeSet<String> = in_code("Outcome");
    assert_eq!(first_cells(&page, "| `outcome` | Meaning"), outcomes);
    let (_, chapter) = page.split_once("### no_console\n").unwrap();
    assert_eq!(first_cells(chapter, "| `reason` |"), in_code("NoConsole"));
    let types: BTreeSet<String> = variants("ErrorType").into_iter().collect();
    assert_eq!(first_cells(&page, "| `errorType` | Meaning"), types);
    assert!(
        outcomes.len() >= 6 && types.len() >= 16,
        "{outcomes:?} {types:?}"
    );
    let (_, chapter) = page.split_once("### ignored\n").unwrap();
    let reasons = first_cells(chapter, "| `reason` |");
    let code = code().concat();
    for reason in &reasons {
        assert!(code.contains(&format!("\"{reason}\"")), "{reason}");
    }
    // One for what is no trigger, one for a copy, one for each kind of what is about something else.
    assert_eq!(reasons.len(), 2 + variants("NotOurs").len());
}

/// The words of a command line as a shell takes them, up to a pipe or a redirection.
fn shell_words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, '|' | '>' | '#' | ';' | '&') => break,
            (None, ' ') => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// What stands for a value that the reader fills in.
fn filled_in(word: &str) -> &str {
    match word {
        "INSTANCE_ID" => "i-bp1panicnoroot00001",
        "REGION_ID" | "ALIBABA_REGION_ID" | "REGION" => "cn-hangzhou",
        "acs:fc:REGION_ID:ACCOUNT_ID:functions/ecs-console-archiver" => {
            "acs:fc:cn-hangzhou:1690700000000030:functions/ecs-console-archiver"
        }
        _ => word,
    }
}

#[test]
fn every_command_that_prints_json_is_on_the_page_of_json() {
    let help = Command::new(program("console-archive"))
        .arg("--help")
        .output()
        .unwrap();
    let help = text(&checked(help).stdout);
    let commands = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = commands.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let commands: BTreeSet<_> = commands.filter_map(|line| line.split(' ').next()).collect();
    assert!(commands.contains("list"), "{help}");
    for command in commands.iter().filter(|name| **name != "console-archive") {
        let help = Command::new(program("console-archive"))
            .args([command, "--help"])
            .output();
        let prints_json = text(&checked(help.unwrap()).stdout).contains("--output <");
        assert_eq!(prints_json, json_page::has(command), "{command}");
    }
}

#[test]
fn every_command_in_the_pages_is_one_that_the_program_takes() {
    let mut shown = BTreeSet::new();
    for (page, text) in pages() {
        let mut commands = in_code(&text);
        let blocks = command_blocks(&text);
        commands.extend(blocks.iter().flat_map(|block| {
            let block = block.replace("\\\n", "");
            block.lines().map(str::to_owned).collect::<Vec<_>>()
        }));
        for command in commands {
            let command = command.replace('\n', " ");
            let Some(start) = ["console-archive ", "as_service "].iter().find_map(|name| {
                let at = command.find(name)?;
                let is_word = at == 0 || command[..at].ends_with([' ', '"', '/']);
                is_word.then_some(at + name.len())
            }) else {
                continue;
            };
            let words = shell_words(&command[start..]);
            let is_command =
                |word: &String| word.starts_with(|c: char| c.is_ascii_lowercase() || c == '-');
            if !words.first().is_some_and(is_command) {
                continue; // A sentence about the program.
            }
            let arguments: Vec<_> = words.iter().map(|word| filled_in(word)).collect();
            // Whatever stands before it is read first, so an unknown option or a wrong value fails.
            let output = checked(
                Command::new(program("console-archive"))
                    .args(&arguments)
                    .arg("--help")
                    .output()
                    .unwrap(),
            );
            let error = text_of(&output);
            assert!(output.status.success(), "{page}: {command}\n{error}");
            shown.extend(arguments.first().map(|word| (*word).to_owned()));
        }
    }
    let help = help();
    for command in [
        "invoke", "capture", "list", "get", "boots", "show", "grep", "diff", "findings", "explain",
        "sweep", "redrive", "doctor", "simulate", "compact", "reindex", "verify", "prune", "copy",
        "export", "report", "serve", "rescan",
    ] {
        assert!(
            help.contains(command) && shown.contains(command),
            "{command}: {shown:?}"
        );
    }
}

fn text_of(output: &std::process::Output) -> String {
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

/// The code with its texts as they are printed, each on one line; an escaped quote is `”`.
fn printed_code() -> String {
    let mut code = code().concat();
    // Texts that go on in the next line.
    while let Some(at) = code.find("\\\n") {
        let rest = code[at + 2..].trim_start_matches(' ').len();
        code.replace_range(at..code.len() - rest, "");
    }
    code.replace("\\\"", "”")
}

/// A message is looked up as it is printed, so the page quotes it as it is printed.
#[test]
fn every_message_in_troubleshooting_is_one_that_the_program_prints() {
    let code = printed_code()
        .replace('”', "\"")
        .replace("{{", "{")
        .replace("}}", "}");
    let mut messages = 0;
    for row in rows(&page("docs/troubleshooting.md")) {
        let Some(message) = words(&row[0]).first().copied() else {
            continue;
        };
        let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
        let parts = message
            .split('…')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        for part in parts {
            // Problems with settings are put together of the setting's name and what is wrong.
            let part = part.split_once(": ").map_or(part, |(name, rest)| {
                if name.chars().all(is_name) {
                    rest
                } else {
                    part
                }
            });
            let part = part.strip_prefix("not set; ").unwrap_or(part);
            assert!(
                code.contains(part),
                "{part:?} of {message:?} is printed nowhere"
            );
        }
        messages += 1;
    }
    assert!(messages >= 60, "{messages}");
}

/// Errors that nobody is shown, or only as a part of another one.
const NOT_LOOKED_UP: [&str; 7] = [
    "it is not Base64",
    "expected fresh, stale or partial",
    "not a time in any form ECS is known to use",
    "the ConsoleOutput of ECS is not Base64",
    "expected the 64 hexadecimal digits of a SHA-256",
    "broken off as told",
    "the archive was copied",
];

/// The texts of the errors in the code, their placeholders written as `…`.
fn errors() -> BTreeSet<String> {
    let mut errors = BTreeSet::new();
    for rest in printed_code().split("#[error(").skip(1) {
        let Some(text) = rest.trim_start().strip_prefix('"') else {
            continue; // It is that of its source.
        };
        let mut error = String::new();
        let mut inside = 0;
        for c in text.chars() {
            match c {
                '"' if inside == 0 => break,
                '{' => inside += 1,
                '}' => inside -= 1,
                c if inside == 0 => error.push(c),
                _ => continue,
            }
            if c == '{' {
                error.push('…');
            }
        }
        errors.insert(error);
    }
    errors
}

/// What a message says beside its values.
fn fixed_parts(message: &str) -> Vec<&str> {
    let parts = message.split('…');
    let around = |c: char| c.is_whitespace() || ":;,.()".contains(c);
    let parts = parts.map(|part| part.trim_matches(around));
    parts.filter(|part| part.len() > 6).collect()
}

#[test]
fn every_error_can_be_looked_up() {
    let page = page("docs/troubleshooting.md");
    let rows = rows(&page);
    let shown: Vec<_> = rows
        .iter()
        .filter_map(|row| Some(*words(&row[0]).first()?))
        .collect();
    let shown: Vec<_> = shown
        .iter()
        .flat_map(|message| fixed_parts(message))
        .collect();
    let mut found = 0;
    for error in errors() {
        let parts = fixed_parts(&error);
        let is_excused = NOT_LOOKED_UP.contains(&error.as_str()) || parts.is_empty();
        let is_shown = parts.iter().any(|part| {
            let same = |shown: &&str| shown.contains(part) || part.contains(*shown);
            shown.iter().any(same)
        });
        assert!(
            is_shown || is_excused,
            "{error:?} is not in docs/troubleshooting.md"
        );
        found += usize::from(is_shown);
    }
    assert!(found >= 50, "{found}");
}

#[test]
fn every_target_is_described_and_every_target_named_exists() {
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let target = |line: &str| {
        let (name, _) = line.split_once(':').filter(|_| line.contains(" ## "))?;
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-';
        name.chars().all(is_name).then(|| name.to_owned())
    };
    let targets: BTreeSet<_> = makefile.lines().filter_map(target).collect();
    assert!(targets.len() >= 17, "{targets:?}");
    let described = first_cells(&page("CONTRIBUTING.md"), "| Target |");
    let described: BTreeSet<_> = (described.iter())
        .map(|cell| cell.trim_start_matches("make ").to_owned())
        .collect();
    assert_eq!(described, targets);
    let mut named = BTreeSet::new();
    for (page, text) in pages() {
        for before in ["`make ", "\nmake "] {
            for rest in text.split(before).skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '-');
                let target = rest[..end.unwrap_or(rest.len())].to_owned();
                assert!(targets.contains(&target), "{page}: make {target}");
                named.insert(target);
            }
        }
    }
    for target in ["run", "test", "dist", "deploy", "package"] {
        assert!(named.contains(target), "{target}: {named:?}");
    }
}

/// A row of the change log is worth what its test is: one that was renamed or removed must not stay.
#[test]
fn every_test_the_change_log_names_is_there() {
    let changes = page("CHANGELOG.md");
    let (_, table) = changes.split_once("| What went wrong | Test |\n").unwrap();
    let rows: Vec<_> = (table.lines().skip(1))
        .take_while(|line| line.starts_with('|'))
        .collect();
    assert!(rows.len() > 100, "{} rows", rows.len());
    for row in rows {
        let test = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        let (file, name) = test.trim_matches('`').split_once("`: `").expect(row);
        let code = std::fs::read_to_string(root().join(file)).expect(row);
        assert!(code.contains(&format!("fn {name}(")), "{row}");
    }
}
