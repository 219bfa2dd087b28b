//! What the templates under `infra` must agree on.

use std::collections::BTreeSet;
use std::process::Command;

use ecs_console_archiver::config::SETTINGS;
use ecs_console_archiver::intake::delivery::Delivery;
use ecs_console_archiver::intake::event::Request;

use crate::support::printed::checked;
use crate::support::*;

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
    let is_named = name.contains('_') || SETTINGS.contains(&name);
    (is_named && rest.trim_start().starts_with([':', '='])).then_some(name)
}

#[test]
fn every_environment_variable_in_infra_is_a_setting() {
    for (file, text) in infra() {
        let names: Vec<_> = text.lines().filter_map(variable).collect();
        let deploys = [
            "template.yaml",
            "ros.yaml",
            "alibaba/s.yaml",
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
const NOT_IN_INFRA: [(&str, &[&str]); 7] = [
    (
        "set by the platform",
        &[
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "AWS_REGION",
            "AWS_DEFAULT_REGION",
            "AWS_LAMBDA_RUNTIME_API",
            "AWS_LAMBDA_FUNCTION_NAME",
            "AWS_LAMBDA_FUNCTION_VERSION",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
            "AWS_LAMBDA_LOG_LEVEL",
            "AWS_LAMBDA_LOG_FORMAT",
            "FC_FUNCTION_NAME",
            "FC_CUSTOM_LISTEN_PORT",
            "FC_SERVER_PORT",
            "FC_ACCOUNT_ID",
            "FC_REGION",
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
            "AWS_CA_BUNDLE",
            "SSL_CERT_FILE",
            "ECS_SIGNATURE_VERSION",
            "SCREENSHOTS_WAKE_UP",
            "FAILED_EVENTS",
            "FUNCTION_COMPUTE_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            "AWS_ENDPOINT_URL_SSM",
            "AWS_ENDPOINT_URL_LAMBDA",
            "AWS_ENDPOINT_URL_SNS",
            "KMS_ENDPOINT_URL",
            "RUST_LOG",
            "TRIGGER_STATES",
            "CATALOG",
            "ALIBABA_CLOUD_ROLE_SESSION_NAME",
            "ALIBABA_CLOUD_ROLE_SESSION_POLICY",
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
        "a file of one's own, in a package of one's own",
        &["FINDINGS_RULES"],
    ),
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
    // All items of a list of Terraform's, all lines of a log, and products: a wildcard has quotes around it.
    let line = line.replace("[*]", "").replace("count(*)", "");
    let line = line.replace(" * ", " ");
    let code = line.trim_start();
    // Asterisks of patterns and of a log's separators.
    let other = [
        "AllowedPattern:",
        "condition ",
        "token ",
        "input.regex",
        "parameters ",
        "for file in fileset(",
        "trimsuffix(file, ",
        // Of schedules.
        "cronExpression",
        "schedule_expression",
        "ScheduleExpression",
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

/// What stands behind the first `key` after `start`, up to the end of the line.
fn value_after<'a>(text: &'a str, start: &str, key: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("{start}"));
    let (_, rest) = rest.split_once(key).unwrap_or_else(|| panic!("{key}"));
    let value = rest.lines().next().unwrap_or_default().trim();
    value.trim_start_matches('=').trim().trim_matches('\'')
}

/// A parameter's name in the templates, what they have it set to, and what the pages say of it.
const DEFAULTS: [(&str, &str, &str, &str); 3] = [
    (
        "FollowSeconds",
        "follow_seconds",
        "300",
        "a console is followed for | 300 s | 300 s | 300 s",
    ),
    (
        "RetentionDays",
        "retention_days",
        "365",
        "records expire after | 365 days | 365 days | never",
    ),
    ("LogRetentionDays", "log_retention_days", "30", ""),
];

#[test]
fn the_defaults_that_matter_are_the_same_in_every_template_and_on_every_page() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    for (parameter, variable, value, in_readme) in DEFAULTS {
        for template in ["infra/aws/template.yaml", "infra/alibaba/ros.yaml"] {
            let start = format!("\n  {parameter}:\n");
            assert_eq!(
                value_after(&read(template), &start, "Default:"),
                value,
                "{template}"
            );
        }
        for variables in ["infra/aws/variables.tf", "infra/alibaba/variables.tf"] {
            let start = format!("variable \"{variable}\"");
            assert_eq!(
                value_after(&read(variables), &start, "default"),
                value,
                "{variables}"
            );
        }
        for page in ["infra/aws/README.md", "infra/alibaba/README.md"] {
            let text = read(page);
            let (_, table) = text.split_once("## What you get by default").unwrap();
            let row = table.lines().find(|line| {
                line.contains(&format!("`{variable}`")) || line.contains(&format!("`{parameter}`"))
            });
            assert!(row.unwrap().contains(value), "{page}: {variable}");
        }
        assert!(read("README.md").contains(in_readme), "{in_readme}");
    }
    let file = read("infra/alibaba/s.yaml");
    assert_eq!(
        value_after(&file, "environmentVariables:", "FOLLOW_SECONDS:"),
        "300"
    );
    assert!(read("infra/webhook/README.md").contains("\nFOLLOW_SECONDS=300\n"));
    for page in ["docs/settings.md", "docs/freshness.md"] {
        assert!(read(page).contains("The templates set 300"), "{page}");
    }
    // 0 is accepted everywhere.
    for template in ["infra/aws/template.yaml", "infra/alibaba/ros.yaml"] {
        assert_eq!(
            value_after(&read(template), "\n  FollowSeconds:\n", "MinValue:"),
            "0"
        );
    }
    for variables in ["infra/aws/variables.tf", "infra/alibaba/variables.tf"] {
        assert!(
            read(variables).contains("var.follow_seconds >= 0 &&"),
            "{variables}"
        );
    }
}

#[test]
fn the_application_repository_gets_the_version_and_the_licence_of_the_program() {
    let template = std::fs::read_to_string(root().join("infra/aws/template.yaml")).unwrap();
    let start = "AWS::ServerlessRepo::Application:";
    let version = value_after(&template, start, "SemanticVersion:");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    let license = value_after(&template, start, "SpdxLicenseId:");
    assert_eq!(license, env!("CARGO_PKG_LICENSE"));
    for file in ["LicenseUrl:", "ReadmeUrl:"] {
        let path = value_after(&template, start, file);
        assert!(root().join("infra/aws").join(path).is_file(), "{path}");
    }
}

#[test]
fn both_templates_of_aws_have_the_same_dashboard() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let file = read("infra/aws/dashboard.json");
    let widgets: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert!(widgets["widgets"].as_array().unwrap().len() > 5);
    let lines = file.lines().map(|line| format!("          {line}\n"));
    let text: String = lines.collect();
    assert!(
        read("infra/aws/template.yaml").contains(&format!("        - |\n{text}        - Region:"))
    );
    assert!(read("infra/aws/main.tf").contains("templatefile(\"${path.module}/dashboard.json\""));
}

/// The table under a title of this page, up to the next title.
fn section(page: &str, title: &str) -> String {
    let text = std::fs::read_to_string(root().join(page)).unwrap();
    let (_, section) = text
        .split_once(&format!("\n{title}\n"))
        .unwrap_or_else(|| panic!("{page} has no {title:?}"));
    section.split("\n#").next().unwrap().to_owned()
}

/// What Terraform calls a service, and what the row of its permissions has in its first cell.
const DEPLOYED_TO: [(&str, &str); 18] = [
    ("aws_athena", "| Athena |"),
    ("aws_cloudwatch", "| CloudWatch |"),
    ("aws_glue", "| Glue |"),
    ("aws_iam", "| IAM |"),
    ("aws_lambda", "| Lambda |"),
    ("aws_s3", "| S3 |"),
    ("aws_scheduler", "| Scheduler |"),
    ("aws_sns", "| SNS |"),
    ("aws_sqs", "| SQS |"),
    ("alicloud_cms", "| CloudMonitor |"),
    ("alicloud_event", "EventBridge |"),
    ("alicloud_fcv3", "| Function Compute |"),
    ("alicloud_ims", "| RAM on Alibaba Cloud |"),
    ("alicloud_log", "| Simple Log Service |"),
    ("alicloud_message", "| Simple Message Queue |"),
    ("alicloud_oss", "| OSS |"),
    ("alicloud_ram", "| RAM"),
    ("alicloud_sls", "| Simple Log Service |"),
];

#[test]
fn each_service_that_is_deployed_to_has_a_row_with_the_permission_it_takes() {
    for (templates, page) in [
        (&["aws", "push", "rules"][..], "infra/aws/README.md"),
        (&["alibaba"], "infra/alibaba/README.md"),
    ] {
        let rows = section(page, "### To deploy");
        for template in templates {
            let path = format!("infra/{template}/main.tf");
            let text = std::fs::read_to_string(root().join(&path)).unwrap();
            let resources = text
                .lines()
                .filter_map(|line| line.strip_prefix("resource \""));
            let mut count = 0;
            for resource in resources {
                let service = DEPLOYED_TO
                    .iter()
                    .find(|(service, _)| resource.starts_with(&format!("{service}_")));
                let (_, row) = service.unwrap_or_else(|| panic!("{path}: {resource}"));
                let found = rows.lines().find(|line| line.contains(row));
                let found = found.unwrap_or_else(|| panic!("{page} has no row {row:?}"));
                assert!(found.contains("FullAccess`"), "{found}");
                count += 1;
            }
            assert!(count > 0, "{path}: {count}");
        }
    }
}

#[test]
fn each_page_of_infra_says_what_it_costs() {
    for page in ["aws", "alibaba", "webhook", "push"] {
        let costs = section(&format!("infra/{page}/README.md"), "## Costs");
        assert!(costs.trim().len() > 80, "{page}: {costs}");
    }
}

/// Two clouds have a service of this name.
#[test]
fn where_both_clouds_are_spoken_of_every_eventbridge_says_whose_it_is() {
    let page = std::fs::read_to_string(root().join("infra/aws/README.md")).unwrap();
    let words: Vec<_> = page.split_whitespace().collect();
    let mut count = 0;
    for (index, word) in words.iter().enumerate() {
        if word.trim_matches(['*', ',', '.']) == "EventBridge" {
            let before = words[index - 1];
            let around = words[index - 2..=index].join(" ");
            assert!(["Cloud", "Amazon"].contains(&before), "{around:?}");
            count += 1;
        }
    }
    assert!(count > 5, "{count}");
}

/// Blocks of a page that are shown as this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let opening = format!("\n```{language}\n");
    let blocks = page.split(&opening).skip(1);
    let blocks = blocks.map(|block| block.split("\n```").next().unwrap().to_owned());
    blocks.collect()
}

/// What a page tells its reader to write into `infra/FOLDER/terraform.tfvars`, by folder.
fn variable_files(page: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for block in blocks(page, "shell") {
        for rest in block.split("cat > infra/").skip(1) {
            let (path, rest) = rest.split_once(" <<END\n").unwrap();
            let (text, _) = rest.split_once("\nEND\n").unwrap();
            let (folder, file) = path.split_once('/').unwrap();
            assert!(file.ends_with(".tfvars"), "{path}");
            files.push((folder.to_owned(), text.to_owned()));
        }
    }
    files
}

/// The names that a Terraform file of variables sets.
fn assigned(text: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        line.split_once(" = ")
            .map(|(name, _)| name.trim().to_owned())
    };
    text.lines().map(|line| name(line).expect(line)).collect()
}

/// The names of a folder's variables, and of those without a default.
fn declared(folder: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let path = root().join(format!("infra/{folder}/variables.tf"));
    let text = std::fs::read_to_string(path).unwrap();
    let variables = text.split("\nvariable \"").map(|variable| {
        let (name, body) = variable.split_once("\" {\n").unwrap();
        let name = name.trim_start_matches("variable \"").to_owned();
        (name, body.contains("\n  default "))
    });
    let variables: Vec<_> = variables.collect();
    let required = variables.iter().filter(|(_, has_default)| !has_default);
    let required = required.map(|(name, _)| name.clone()).collect();
    (
        variables.into_iter().map(|(name, _)| name).collect(),
        required,
    )
}

/// Terraform reads this file at each apply. What is given only once, with `-var`, a later apply removes.
#[test]
fn what_the_pages_give_to_terraform_is_in_a_file_that_has_all_that_is_required() {
    let mut folders = BTreeSet::new();
    for page in ["aws", "alibaba", "webhook", "push"] {
        let path = format!("infra/{page}/README.md");
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        for (folder, file) in variable_files(&text) {
            let (variables, required) = declared(&folder);
            let given = assigned(&file);
            assert!(given.is_subset(&variables), "{path}: {given:?}");
            assert!(required.is_subset(&given), "{path}: {required:?}");
            // Without it, an apply in another region would create everything anew.
            assert!(given.contains("region"), "{path}: {given:?}");
            folders.insert(folder);
        }
        for block in blocks(&text, "hcl") {
            let (variables, _) = declared(page);
            let given = assigned(&block);
            assert!(given.is_subset(&variables), "{path}: {given:?}");
        }
        let commands = blocks(&text, "shell").concat().replace("\\\n", " ");
        assert!(!commands.contains(" -var "), "{path}");
    }
    assert_eq!(
        folders,
        ["alibaba", "aws", "push"].map(str::to_owned).into()
    );
}

/// git leaves the file out, because it has the token.
#[test]
fn the_files_of_variables_and_states_are_not_for_git() {
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap();
    for pattern in ["*.tfvars", "*.tfstate*", ".terraform/"] {
        assert!(ignored.lines().any(|line| line == pattern), "{pattern}");
    }
}

/// A half that is left over goes on sending, or goes on being trusted.
#[test]
fn each_page_says_how_to_remove_what_it_created() {
    let rules = "push/README.md#remove-everything";
    for (page, title, words) in [
        (
            "aws",
            "### Remove everything",
            &[
                rules,
                "sam delete",
                "state rm",
                "terraform -chdir=infra/aws destroy",
            ][..],
        ),
        (
            "alibaba",
            "### Remove everything",
            &[
                "stack",
                "s remove",
                "state rm",
                "terraform -chdir=infra/alibaba destroy",
            ],
        ),
        (
            "webhook",
            "### Remove everything",
            &[rules, "systemctl disable --now", "docker rm"],
        ),
        (
            "push",
            "## Remove everything",
            &["each region", "terraform -chdir=infra/push destroy"],
        ),
    ] {
        let section = section(&format!("infra/{page}/README.md"), title);
        for word in words {
            assert!(section.contains(word), "{page}: {word}");
        }
    }
}

/// A unit's lines, without comments.
fn unit(name: &str) -> Vec<String> {
    let path = root().join("infra/webhook").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn what_timers_start_is_a_command_of_the_program_and_as_confined_as_the_service() {
    for (name, schedule) in [
        ("ecs-console-archiver-sweep", "OnCalendar=daily"),
        (
            "ecs-console-archiver-redrive",
            "OnCalendar=*-*-* 00/6:00:00",
        ),
        (
            "ecs-console-archiver-compact",
            "OnCalendar=*-*-* 02:00:00 UTC",
        ),
    ] {
        check_timer(name, schedule);
    }
    let redrive = unit("ecs-console-archiver-redrive.service");
    let input = "StandardInputText=";
    let event = redrive.iter().find_map(|line| line.strip_prefix(input));
    let delivery = Delivery::parse(event.unwrap().as_bytes());
    let request = &delivery.messages[0].requests[0];
    assert!(matches!(request, Ok(Request::Redrive(_))), "{request:?}");
}

#[track_caller]
fn check_timer(name: &str, schedule: &str) {
    let sweep = unit(&format!("{name}.service"));
    let start = "ExecStart=/usr/local/bin/console-archive ";
    let command = sweep.iter().find_map(|line| line.strip_prefix(start));
    let mut program = Command::new(program("console-archive"));
    let arguments = command.unwrap().split(' ').chain(["--help"]);
    let output = checked(program.args(arguments).output().unwrap());
    assert!(output.status.success(), "{}", text(&output.stderr));

    let service = unit("ecs-console-archiver.service");
    let user = service.iter().position(|line| line.starts_with("User="));
    let is_kept = |line: &&String| {
        let is_setting = line.starts_with("EnvironmentFile=") || line.contains("Directory");
        is_setting && !line.starts_with("StateDirectory=")
    };
    let confined = service[user.unwrap()..]
        .iter()
        .take_while(|line| !line.is_empty());
    for line in confined.chain(service.iter().filter(is_kept)) {
        assert!(sweep.contains(line), "{line}");
    }
    // The sweep writes to the service's folder, too.
    let folders = |lines: &[String]| {
        let folders = lines
            .iter()
            .find_map(|line| line.strip_prefix("StateDirectory="));
        folders.unwrap().to_owned()
    };
    let [folder, sweeps] = [folders(&service), folders(&sweep)];
    assert!(sweeps.split(' ').any(|name| name == folder), "{sweeps}");
    // Its timer starts it, because it has its name.
    assert!(unit(&format!("{name}.timer")).contains(&schedule.to_owned()));
}

/// What is printed depends on the console, so no page shows the beginning of an answer.
#[test]
fn no_page_shows_an_answer_in_another_order_than_the_program_prints_it() {
    for page in ["aws", "alibaba", "webhook"] {
        let path = root().join(format!("infra/{page}/README.md"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("{\"outcome\""), "{page}");
        assert!(text.contains("`\"outcome\":\"stored\"`"), "{page}");
    }
}

/// The forms of both consoles open a file of the release, by its name.
#[test]
fn the_templates_that_the_pages_open_in_a_form_are_in_a_release() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let makefile = read("Makefile");
    for (page, ending) in [("aws", "-aws.json"), ("alibaba", "-alibaba.yaml")] {
        let name = format!(":= ecs-console-archiver-$(VERSION){ending}\n");
        assert!(makefile.contains(&name), "{name}");
        let page = read(&format!("infra/{page}/README.md"));
        assert!(page.contains(ending), "{ending}");
    }
    let files = "sha256sum $(DIST_TEMPLATE) $(DIST_ROS) > SHA256SUMS-templates\n";
    assert!(makefile.contains(files));
    // The parameter in the address of ROS's form, as in Alibaba Cloud's own pages with such links.
    let form = "/stacks/create?templateUrl=https://REPOSITORY/releases/download/vVERSION/";
    assert!(read("infra/alibaba/README.md").contains(form));
    assert!(read(".github/workflows/release.yml").contains("make dist-template"));
}

/// What a policy in JSON allows.
fn allowed(policy: &str) -> BTreeSet<String> {
    let policy: serde_json::Value = serde_json::from_str(policy).expect(policy);
    let statements = policy["Statement"].as_array().unwrap();
    let actions = statements.iter().flat_map(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        let actions = &statement["Action"];
        let one = actions.as_str().into_iter();
        let many = actions.as_array().into_iter().flatten();
        one.chain(many.filter_map(|action| action.as_str()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    actions.collect()
}

#[test]
fn the_policies_that_the_pages_give_allow_what_the_templates_allow() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let template = read("infra/alibaba/main.tf");
    let start = "resource \"alicloud_ram_policy\" \"archiver\"";
    let (_, template) = template.split_once(start).unwrap();
    let template = template.split("\n}\n").next().unwrap();
    let quoted = template.split('"').skip(1).step_by(2);
    let is_action = |word: &&str| {
        let service = word.split_once(':').map_or("", |(service, _)| service);
        ["ecs", "fc", "log", "mns", "oss", "sts"].contains(&service)
    };
    let mut in_template: BTreeSet<_> = quoted.filter(is_action).map(str::to_owned).collect();
    // Only for several accounts, and the page says so.
    assert!(in_template.remove("sts:AssumeRole"));

    let page = read("infra/alibaba/README.md");
    let start = "CreatePolicy --PolicyName ecs-console-archiver --PolicyDocument '";
    let (_, policy) = page.split_once(start).unwrap();
    let policy = policy.split('\'').next().unwrap();
    assert_eq!(allowed(policy), in_template);

    let page = read("infra/webhook/README.md");
    let policies = blocks(&page, "json");
    let policy = policies.iter().find(|block| block.contains("Statement"));
    let elsewhere = |action: &String| !action.starts_with("ecs:");
    in_template.retain(|action| !elsewhere(action));
    assert_eq!(allowed(policy.unwrap()), in_template);
}

#[test]
fn the_page_says_how_long_the_queue_keeps_failed_events() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let seconds = 14 * 24 * 60 * 60;
    let template = read("infra/aws/template.yaml");
    assert!(template.contains(&format!("MessageRetentionPeriod: {seconds}\n")));
    let module = read("infra/aws/main.tf");
    assert!(module.contains(&format!("message_retention_seconds = {seconds}\n")));
    let defaults = section("infra/aws/README.md", "## What you get by default");
    assert!(defaults.contains("| how long failed events are kept | 14 days,"));
    assert!(read("docs/outcomes.md").contains("keeps them for 14 days |"));
}

/// In commands, but no word that a reader fills in.
const FIXED: [&str; 10] = [
    "AES256",
    "AWS",
    "BEGIN",
    "CAPABILITY_IAM",
    "END",
    "INTERSECTION",
    "PARAMETERS",
    "POST",
    "SERVICE_MANAGED",
    "ZRS",
];

/// The words of a command that its reader fills in: upper case, and neither set nor read by it.
fn to_fill_in(command: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let mut found = BTreeSet::new();
    let mut rest = command;
    while let Some(start) = rest.find(|c: char| c.is_ascii_uppercase()) {
        let (before, word) = rest.split_at(start);
        let end = word.find(|c| !is_word(c)).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let last = before.chars().next_back();
        let is_whole = !is_part(last) && !is_part(after.chars().next());
        let is_variable = last == Some('$') || after.starts_with('=');
        if word.len() > 2 && is_whole && !is_variable && !FIXED.contains(&word) {
            found.insert(word.to_owned());
        }
        rest = after;
    }
    found
}

#[test]
fn each_word_that_a_reader_fills_in_is_explained() {
    let example = "A=$TOKEN sam --x ZIP_FILE Action \"INSTANCE_ID\" s3://BUCKET/console END";
    let words = ["BUCKET", "INSTANCE_ID", "ZIP_FILE"];
    assert_eq!(to_fill_in(example), words.map(str::to_owned).into());
    let mut found = 0;
    for page in ["aws", "alibaba", "webhook", "push"] {
        let path = root().join(format!("infra/{page}/README.md"));
        let text = std::fs::read_to_string(path).unwrap();
        let languages = ["shell", "hcl", "json", "ini"];
        let shown = languages.map(|language| blocks(&text, language).join("\n"));
        let parts = text.split("\n```").step_by(2);
        let prose = parts.collect::<String>();
        let explained: Vec<_> = prose.split('`').skip(1).step_by(2).collect();
        let words = to_fill_in(&shown.join("\n"));
        found += words.len();
        let unexplained = words.iter().filter(|word| {
            let is_named = |code: &&str| code.split(['@', '.', ' ']).any(|part| part == *word);
            !SETTINGS.contains(&word.as_str()) && !explained.iter().any(is_named)
        });
        assert_eq!(unexplained.collect::<Vec<_>>(), [""; 0], "infra/{page}");
    }
    assert!(found > 25, "{found}");
}
