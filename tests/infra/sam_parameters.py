#!/usr/bin/env python3
"""Follows the parameters that the pages give to `make deploy` and `sam deploy` into the template.

usage: sam_parameters.py TEMPLATE PAGE...

The shell, make and the SAM CLI each take quotes and spaces in their own way. So each command of a
page goes through all of them, and what arrives must be a value that the template allows. It runs in
the SAM CLI's own environment, with its parser of parameters and its resolver of functions. Nothing
is deployed.
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

# What a reader fills in.
FILLED_IN = {
    "ALIBABA_ACCOUNT_ID": "123456789012",
    "AWS_REGION_ID": "us-east-1",
    "OLD_TOKEN": "1" * 64,
    "TOPIC_ARN": "arn:aws:sns:us-east-1:123456789012:alarms",
}
ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "TOKEN": "0" * 64}
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
        if not re.fullmatch(parameter.get("AllowedPattern", "(?s).*"), value):
            yield f"{name} arrives as {value!r}, which the template does not allow"
        if parameter["Type"] == "Number" and not value.isdigit():
            yield f"{name} arrives as {value!r}, which is no number"


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
    for name in {"WebhookToken", "SweepRegions", "AlarmTopicArn"} - named:
        problems.append(f"no page shows how to give {name}")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{count} commands give {len(named)} parameters that the template allows")


main()
