#!/usr/bin/env python3
"""Follows the parameters that the pages give to `make deploy` and `sam deploy` into the template.

usage: sam_parameters.py TEMPLATE PAGE...

The shell, make and the SAM CLI each take quotes and spaces in their own way. So each command of a
page goes through all of them, and what arrives must be a value that the template allows. It runs in
the SAM CLI's own environment, with its parser of parameters and its resolver of functions. Nothing
is deployed. The same way, values of every parameter that the template allows must arrive as they were given,
and the template must refuse others, also combinations that its rules forbid.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.intrinsic_resolver.intrinsic_property_resolver import IntrinsicResolver
from samcli.lib.intrinsic_resolver.intrinsics_symbol_table import IntrinsicsSymbolTable
from samcli.yamlhelper import yaml_parse

import templates

# What a reader fills in.
FILLED_IN = {
    "ALIBABA_ACCOUNT_ID": "123456789012",
    "AWS_REGION_ID": "us-east-1",
    "OLD_TOKEN": "1" * 64,
    "YOU@EXAMPLE.COM": "operators@example.com",
    "TOKEN_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecs-console-archiver-a1B2c3",
}
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TOKEN": "0" * 64}
ROLE, PROVIDER = "acs:ram::123456:role/archiver", "acs:ram::{account}:oidc-provider/archiver"
KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver/token-a1B2c3"
STORED = "arn:aws-cn:ssm:cn-north-1:123456789012:parameter/archiver/key"
OTHER_ARNS = [f"{SECRET}:token:AWSCURRENT:", "archiver/token", KMS_KEY, "acs:kms:cn-hangzhou:123456:secret/key"]
# Parameter → what it must take besides its default, and what it must refuse.
VALUES = {
    "AlibabaRoleArn": ([ROLE, ROLE.replace("123456", "{account}")], ["arn:aws:iam::123456789012:role/archiver"]),
    "AlibabaOidcProviderArn": ([PROVIDER, PROVIDER.replace("{account}", "123456")], [ROLE]),
    "AlibabaOidcAudience": (["another"], []),
    "AlibabaAccessKeyId": (["LTAI"], []),
    "AlibabaAccessKeySecret": (["s3cret/+=$HOME"], []),
    "AlibabaAccessKeyArn": ([SECRET, STORED, f"{SECRET}#key"], OTHER_ARNS),
    "AlibabaRegionId": (["cn-beijing"], []),
    "WebhookToken": (["a" * 32, "B-_9" * 32, f"{'a' * 32},{'b' * 32}"], ["a" * 31, "a" * 129, f"{'a' * 32}, {'b' * 32}"]),
    "WebhookTokenArn": ([SECRET, STORED, f"{STORED}#token"], OTHER_ARNS),
    "NotifyTopicArn": (["arn:aws:sns:us-east-1:123456789012:faults", "arn:aws:sns:us-east-1:123456789012:faults.fifo"],
                       ["faults", "arn:aws:sqs:us-east-1:123456789012:faults"]),
    "NotifyUrlsArn": ([SECRET, STORED, f"{STORED}#urls"], OTHER_ARNS),
    "NotifySeverity": (["info", "warning", "error", "fatal"], ["critical"]),
    "SecretsKmsKeyArn": ([KMS_KEY], ["1234abcd-12ab-34cd-56ef-1234567890ab", KMS_KEY.replace(":key/", ":alias/")]),
    "SweepRegions": (["cn-hangzhou", "cn-hangzhou,cn-beijing"], ["cn-hangzhou, cn-beijing", "cn-hangzhou,"]),
    "ScheduledRedrive": (["true", "false"], ["yes"]),
    "ScheduledCompaction": (["true", "false"], ["yes"]),
    "CatalogTable": (["true", "false"], ["yes"]),
    "FollowSeconds": (["0", "3600"], ["-1", "3601"]),
    "Redact": (["view", "store", "off"], ["false", "mask"]),
    "Screenshots": (["auto", "always", "never"], ["on", "false"]),
    "RetentionDays": (["30"], ["29"]),
    "ObjectLockDays": (["0", "30"], ["-1"]),
    "ExistingBucket": (["logs", "logs.example"], ["s3://logs", "logs/console", "Logs"]),
    "KmsKeyArn": ([KMS_KEY], ["1234abcd-12ab-34cd-56ef-1234567890ab", KMS_KEY.replace(":key/", ":alias/")]),
    "DatabaseName": (["ecs_console_archive_2"], ["ecs-console-archive", "2"]),
    "LogRetentionDays": (["7", "365"], ["31"]),
    "AlarmTopicArn": (["arn:aws:sns:us-east-1:123456789012:alarms"], ["alarms"]),
    "AlarmEmail": (["operators@example.com"], ["operators"]),
    "SubnetIds": (["subnet-0a", "subnet-0a,subnet-0b"], ["vpc-0a", "subnet-0a, subnet-0b"]),
    "SecurityGroupIds": (["sg-0a", "sg-0a,sg-0b"], ["default"]),
    "HeartbeatDays": (["0", "7"], ["8"]),
    "LogClass": (["STANDARD", "INFREQUENT_ACCESS"], ["ARCHIVE"]),
    "Dashboard": (["true", "false"], ["no"]),
    "RolePath": (["/", "/teams/platform/"], ["teams", "/teams"]),
    "PermissionsBoundaryArn": (["arn:aws:iam::123456789012:policy/limit"], ["arn:aws:iam::123456789012:role/limit"]),
    "RejectedRequestsPerHour": (["0", "100"], ["-1"]),
    "LoginsNotReachedPercent": (["0", "20", "99"], ["-1", "100"]),
    "LoginsNotReachedMinimum": (["1", "50"], ["0"]),
    "MaxConcurrency": (["0", "12", "1000"], ["-1", "1", "11", "012"]),
    "Architecture": (["x86_64", "arm64"], ["riscv64"]),
}
# Parameters that the rules forbid together, and what a rule says.
ROLE_AND_KEY = "Give one of AlibabaRoleArn, AlibabaAccessKeyId and AlibabaAccessKeyArn, and only one"
FORBIDDEN = [
    ({"AlibabaRoleArn": ROLE}, "Give AlibabaRoleArn and AlibabaOidcProviderArn together"),
    ({"AlibabaAccessKeyId": "LTAI"}, "Give AlibabaAccessKeyId and AlibabaAccessKeySecret together"),
    ({}, ROLE_AND_KEY),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "AlibabaAccessKeyId": "LTAI",
      "AlibabaAccessKeySecret": "secret"}, ROLE_AND_KEY),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "AlibabaAccessKeyArn": SECRET}, ROLE_AND_KEY),
    ({"AlibabaAccessKeyId": "LTAI", "AlibabaAccessKeySecret": "secret", "AlibabaAccessKeyArn": SECRET}, ROLE_AND_KEY),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "WebhookToken": "a" * 32, "WebhookTokenArn": SECRET},
     "Give either WebhookToken or WebhookTokenArn, and not both"),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "SecretsKmsKeyArn": KMS_KEY},
     "Give SecretsKmsKeyArn only with WebhookTokenArn, AlibabaAccessKeyArn or NotifyUrlsArn"),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "SubnetIds": "subnet-0a"},
     "Give SubnetIds and SecurityGroupIds together"),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "ExistingBucket": "logs", "ObjectLockDays": "30"},
     "Give either ObjectLockDays or ExistingBucket. Lock the objects of your bucket yourself"),
    ({"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER, "AlarmEmail": "operators@example.com",
      "AlarmTopicArn": "arn:aws:sns:us-east-1:123456789012:alarms"},
     "Give either AlarmEmail or AlarmTopicArn. Subscribe the address to your topic yourself"),
]
ALLOWED = [
    {"AlibabaRoleArn": ROLE, "AlibabaOidcProviderArn": PROVIDER},
    {"AlibabaAccessKeyId": "LTAI", "AlibabaAccessKeySecret": "secret"},
    {"AlibabaAccessKeyArn": STORED, "WebhookTokenArn": SECRET, "SecretsKmsKeyArn": KMS_KEY},
]
# Prints its arguments instead of deploying.
SAM = "sam() { printf '%s\\n' \"$@\"; }\n"


def commands(page):
    """The commands of a page's shell blocks that deploy with SAM."""
    for block in re.findall(r"```shell\n(.*?)```", page, re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if re.match("make deploy|sam deploy", line):
                yield re.sub("|".join(FILLED_IN), lambda word: FILLED_IN[word[0]], line)


def shell(script):
    result = subprocess.run(
        ["bash", "-euc", script], env=ENVIRONMENT, check=True, capture_output=True, text=True
    )
    return result.stdout


def parameters(command):
    """Name → value of what the SAM CLI makes of a command's parameters."""
    if command.startswith("make "):
        recipe = shell(command.replace("make ", "make --dry-run ", 1)).replace("\\\n", " ")
        [command] = [line for line in recipe.splitlines() if line.startswith("sam deploy")]
    arguments = shell(SAM + command).splitlines()
    if "--parameter-overrides" not in arguments:
        return {}
    given = arguments[arguments.index("--parameter-overrides") + 1 :]
    assert not [word for word in given if word.startswith("--")], given
    return CfnParameterOverridesType().convert(tuple(given), None, None)


def problems_of(template, given):
    for name, value in given.items():
        parameter = template["Parameters"].get(name)
        if parameter is None:
            yield f"{name} is no parameter"
            continue
        refused = not re.fullmatch(parameter.get("AllowedPattern", "(?s).*"), value)
        refused |= value not in map(str, parameter.get("AllowedValues", [value]))
        if parameter["Type"] == "Number":
            if not re.fullmatch(r"-?\d+", value):
                yield f"{name} arrives as {value!r}, which is no number"
                continue
            refused |= not parameter.get("MinValue", -1e9) <= int(value) <= parameter.get("MaxValue", 1e9)
        if refused:
            yield f"{name} arrives as {value!r}, which the template does not allow"


def broken_rules(document, given):
    """What the template's rules say of these parameters."""
    resolver = templates.Resolver(document, given)
    for rule in document["Rules"].values():
        if "RuleCondition" in rule and not resolver.value(rule["RuleCondition"]):
            continue
        for one in rule["Assertions"]:
            if not resolver.value(one["Assert"]):
                yield one["AssertDescription"]


def value_problems(template, document):
    """Values of every parameter, through all who take quotes in their own way, and into the template."""
    for name in sorted(template["Parameters"].keys() ^ VALUES.keys()):
        yield f"{name} is in one only of the template's parameters and VALUES in tests/infra/sam_parameters.py"
    for name in template["Parameters"].keys() & VALUES.keys():
        default = str(template["Parameters"][name].get("Default", ""))
        taken, refused = VALUES[name]
        for value in [default, *taken] if default else taken:
            # In single quotes for the recipe's shell. A dollar is two for make, each escaped for the outer shell.
            quoted = value.replace("$", r"\$\$")
            arrived = parameters(f"""make deploy PARAMETERS="{name}='{quoted}'" """)
            if arrived != {name: value}:
                yield f"{name}={value} arrives as {arrived}"
            yield from problems_of(template, {name: value})
        for value in refused:
            if not list(problems_of(template, {name: value})):
                yield f"{name}={value} is not refused"
    for given, message in FORBIDDEN:
        said = list(broken_rules(document, given))
        if said != [message]:
            yield f"with {given}, the rules say {said}"
    for given in ALLOWED:
        yield from (f"with {given}: {said}" for said in broken_rules(document, given))
    untested = {one["AssertDescription"] for rule in document["Rules"].values() for one in rule["Assertions"]}
    for message in untested - {message for _, message in FORBIDDEN}:
        yield f"nothing leads to the rule {message!r}: add it to FORBIDDEN in tests/infra/sam_parameters.py"


def sweep(template, regions):
    """The event that the schedule sends for these regions, as text."""
    symbols = IntrinsicsSymbolTable(template, {"SweepRegions": regions})
    resolver = IntrinsicResolver(template=template, symbol_resolver=symbols)
    target = template["Resources"]["Sweep"]["Properties"]["Target"]
    return resolver.intrinsic_property_resolver(target["Input"], False)


def main():
    file, *pages = sys.argv[1:]
    template = yaml_parse(pathlib.Path(file).read_text())
    problems, count, named = [], 0, set()
    for page in pages:
        for command in commands(pathlib.Path(page).read_text()):
            given = parameters(command)
            problems += [f"{page}: {command}\n  {what}" for what in problems_of(template, given)]
            named |= given.keys()
            count += 1
    for regions in "cn-hangzhou", "cn-hangzhou,cn-beijing":
        sent = sweep(template, regions)
        if sent != json.dumps({"sweep": {"regions": regions.split(",")}}, separators=(",", ": ")):
            problems.append(f"{file}: SweepRegions={regions} sends {sent}")
    for name in {"WebhookToken", "WebhookTokenArn", "SweepRegions", "AlarmEmail"} - named:
        problems.append(f"no page shows how to give {name}")
    problems += value_problems(template, templates.load(file))
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{count} commands give {len(named)} parameters that the template allows; values of all {len(VALUES)} "
          f"parameters arrive as given, and {len(FORBIDDEN)} combinations are forbidden")


main()
