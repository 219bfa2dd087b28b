#!/usr/bin/env python3
"""Holds a Serverless Devs file to the names and types of Function Compute's own API.

usage: serverless_devs.py CLIENT NODE_MODULES FILE

Serverless Devs' own parser (npm's @serverless-devs/parse-spec) reads the file and fills in variables.
CLIENT is the folder of the API's client for Python, alibabacloud_fc20230330: a class for each
structure, with its fields, their names on the wire, and which the service requires. It is read, not
run. The component fc3 passes those structures on. It checks them first against a schema of its own,
src/schema.json of devsapp/fc3, which is in no package. What that adds, requires and bounds is in the
tables below. The script ends with mistakes that it must notice.
"""

import ast
import copy
import functools
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import patterns
import yaml

# What Serverless Devs and its component fc3 take besides the API's fields, or in their place.
ADDED = {
    # The component's region, the zip file or folder it uploads, and what it creates after the
    # function; `auto` has it create the log's project and logstore, too.
    "CreateFunctionInput": {
        "region": "str",
        "code": "str | InputCodeLocation",
        "logConfig": "auto | LogConfig",
        "asyncInvokeConfig": "PutAsyncInvokeConfigInput",
        "triggers": "List[CreateTriggerInput]",
    },
    # A map here, text in the API: which one, the trigger's type says.
    "CreateTriggerInput": {"triggerConfig": "TRIGGER"},
    # In the component's and Terraform's own examples, and not in the client.
    "DeliveryOption": {"mode": "str"},
}
REQUIRED = {
    "CreateFunctionInput": {"region", "code"},
    "CreateTriggerInput": {"triggerName", "triggerType", "triggerConfig"},
    "EventBridgeTriggerConfig": {
        "triggerEnable", "asyncInvocationType", "eventRuleFilterPattern", "eventSourceConfig", "eventSinkConfig",
        "runOptions",
    },
    # Asked for by the component's schema for every source.
    "EventSourceConfig": {"eventSourceType", "eventSourceParameters"},
    "EventSinkConfig": {"deliveryOption"},
    "TimerTriggerConfig": {"cronExpression", "enable"},
}
# Field → least, most, and what it is a multiple of.
BOUNDS = {
    "cpu": (0.05, 16, None),
    "memorySize": (128, 32768, 64),
    "timeout": (1, 86400, 1),
    "instanceConcurrency": (1, 200, 1),
    "maxAsyncEventAgeInSeconds": (1, 2592000, 1),
    "maxAsyncRetryAttempts": (0, 8, 1),
}
# Field → what it may be.
WORDS = {
    "runtime": {"custom", "custom.debian10", "custom.debian11", "custom.debian12"},
    "diskSize": {512, 10240},
    "triggerType": {"cdn_events", "eventbridge", "http", "log", "mns_topic", "oss", "tablestore", "timer"},
}
# Path into the function's properties, what is put there (None: nothing), and what must be said about it.
MISTAKES = [
    (["memorySize"], 100, "memorySize is not"),
    (["diskSize"], 1024, "diskSize is not"),
    (["timeout"], 0, "timeout is not"),
    (["runtime"], "custom.debian9", "runtime is not"),
    (["asyncInvokeConfig", "maxAsyncRetryAttempts"], 9, "maxAsyncRetryAttempts is not"),
    (["asyncInvokeConfig", "maxEventAge"], 60, "has no maxEventAge"),
    (["triggers", -1, "triggerConfig", "runOptions"], None, "needs runOptions"),
    (["triggers", -1, "triggerConfig", "eventSinkConfig", "deliveryOption"], None, "needs deliveryOption"),
    (["triggers", 0, "triggerConfig", "cronExpression"], None, "needs cronExpression"),
    (["functionName"], None, "needs functionName"),
    (["internetAccess"], "yes", "internetAccess is no"),
    (["triggers", 0, "triggerType"], "eventbridge", "comes before a timer"),
]
TRIGGERS = {"eventbridge": "EventBridgeTriggerConfig", "timer": "TimerTriggerConfig"}
SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float)}
TOP = {"edition", "name", "access", "vars", "resources"}
# What a deployment exports, and what the function gets of it.
ENVIRONMENT = {
    "ARCHIVE_BUCKET": "archive",
    "ACCOUNT_ID": "1234567890123456",
    "ALIBABA_CLOUD_REGION": "cn-beijing",
    "ACCOUNT_ROLE_ARN": "acs:ram::{account}:role/archiver",
}
ARRIVES = {
    "ARCHIVE_URL": "oss://archive/console?region=cn-beijing",
    "AWS_ENDPOINT_URL_S3": "https://s3.oss-cn-beijing-internal.aliyuncs.com",
    "ALIBABA_CLOUD_REGION_ID": "cn-beijing",
    "ALIBABA_CLOUD_ROLE_ARN": "acs:ram::{account}:role/archiver",
}


class Client:
    def __init__(self, folder):
        self.sources = {}
        for path in pathlib.Path(folder, "models").glob("_*.py"):
            text = path.read_text()
            for name in re.findall(r"^class (\w+)\(DaraModel\)", text, re.M):
                self.sources[name] = text

    @functools.cache
    def fields(self, name):
        """Name on the wire → type; and the names that the service requires."""
        text = self.sources[name]
        [class_] = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
        [init] = [f for f in class_.body if isinstance(f, ast.FunctionDef) and f.name == "__init__"]
        types = {a.arg: ast.unparse(a.annotation) for a in init.args.args[1:]}
        wire = {field: key for key, field in re.findall(r"result\['(\w+)'\] = self\.(\w+)", text)}
        # Lists of structures are filled in a loop.
        wire |= {field: key for key, field in re.findall(
            r"result\['(\w+)'\] = \[\]\s+if self\.(\w+)", text)}
        required = re.findall(r"# This parameter is required\.\s+self\.(\w+) =", text)
        fields = {wire[f]: t.replace("main_models.", "") for f, t in types.items() if f in wire}
        fields |= ADDED.get(name, {})
        return fields, {wire[field] for field in required} | REQUIRED.get(name, set())


class Check:
    def __init__(self, client):
        self.client, self.problems, self.checked = client, [], 0

    def say(self, where, what):
        self.problems.append(f"{where} {what}")

    def structure(self, where, value, name):
        if not isinstance(value, dict):
            return self.say(where, f"is no {name}")
        fields, required = self.client.fields(name)
        for key in required - value.keys():
            self.say(where, f"needs {key}")
        for key, item in value.items():
            kind = fields.get(key)
            if key == "eventRuleFilterPattern" and (wrong := patterns.problem(value)):
                self.say(where, wrong)
            if kind == "TRIGGER":
                kind = TRIGGERS.get(value.get("triggerType"))
            if kind is None:
                self.say(where, f"has no {key}")
            else:
                self.checked += 1
                self.value(f"{where}.{key}", item, kind)
                self.bounds(f"{where}.{key}", key, item)

    def order(self, triggers):
        """The component ends at the first trigger that fails, and those of EventBridge need roles that an
        account may lack. So the timers come first."""
        kinds = [trigger.get("triggerType") for trigger in triggers]
        if kinds != sorted(kinds, key="timer".__ne__):
            self.say("triggers:", "one that is not a timer comes before a timer")

    def bounds(self, where, key, value):
        if key in WORDS and value not in WORDS[key]:
            self.say(where, f"is not one of {sorted(WORDS[key])}")
        if key not in BOUNDS or not isinstance(value, (int, float)):
            return
        least, most, step = BOUNDS[key]
        if not least <= value <= most or step and value % step:
            self.say(where, f"is not from {least} to {most}" + (f" in steps of {step}" if step else ""))

    def value(self, where, value, kind):
        choices = kind.split(" | ")
        if len(choices) == 2:
            [simple, kind] = choices
            if isinstance(value, str):
                if simple != "str" and value != simple:
                    self.say(where, f"is neither {simple} nor a {kind}")
                return
        outer = re.fullmatch(r"(List|Dict)\[(?:str, )?(.*)\]", kind)
        if outer:
            if not isinstance(value, list if outer[1] == "List" else dict):
                return self.say(where, f"is no {kind}")
            for item in value if isinstance(value, list) else value.values():
                self.value(f"{where}[]", item, outer[2])
        elif kind in SCALARS:
            if not isinstance(value, SCALARS[kind]) or isinstance(value, bool) and kind != "bool":
                self.say(where, f"is no {kind}")
        else:
            self.structure(where, value, kind)


def parsed(modules, file, environment):
    """Serverless Devs' own parser, run on the file."""
    script = pathlib.Path(__file__).with_suffix(".mjs")
    with tempfile.TemporaryDirectory() as home:
        known = {"PATH": os.environ["PATH"], "HOME": home} | environment
        return subprocess.run(["node", script, modules, file], env=known, capture_output=True, text=True)


def steps(modules, file, environment):
    """What Serverless Devs makes of the file."""
    done = parsed(modules, file, environment)
    if done.returncode:
        sys.exit(f"{file}: Serverless Devs cannot read it: {done.stdout}{done.stderr}")
    # It says first which access it takes.
    return json.loads(done.stdout.splitlines()[-1])


def unnoticed(client, props):
    """The mistakes of which nothing is said."""
    for path, value, said in MISTAKES:
        wrong = copy.deepcopy(props)
        *parents, last = path
        place = wrong
        for step in parents:
            place = place[step]
        if value is None:
            del place[last]
        else:
            place[last] = value
        check = Check(client)
        check.structure("props", wrong, "CreateFunctionInput")
        check.order(wrong["triggers"])
        if not any(said in problem for problem in check.problems):
            yield f"{path} = {value!r} is not noticed: {check.problems}"


def main():
    client, modules, file = sys.argv[1:]
    text = pathlib.Path(file).read_text()
    document = yaml.safe_load(text)
    check = Check(Client(client))
    for key in document.keys() - TOP:
        check.say(file, f"has no {key}")
    for step in steps(modules, file, ENVIRONMENT):
        if step["component"] != "fc3":
            check.say(file, "has a resource of another component than fc3")
        check.structure("props", step["props"], "CreateFunctionInput")
        check.order(step["props"]["triggers"])
        check.problems += unnoticed(check.client, step["props"])
        given = step["props"]["environmentVariables"]
        for name, value in ARRIVES.items():
            if given.get(name) != value:
                check.say(f"environmentVariables.{name}", f"arrives as {given.get(name)!r}, and not as {value!r}")
    # Without an account's role, the function uses its own.
    needed = ("ARCHIVE_BUCKET", "ACCOUNT_ID", "ALIBABA_CLOUD_REGION")
    for step in steps(modules, file, {name: ENVIRONMENT[name] for name in needed}):
        if step["props"]["environmentVariables"]["ALIBABA_CLOUD_ROLE_ARN"] != "":
            check.say("ALIBABA_CLOUD_ROLE_ARN", "is set without ACCOUNT_ROLE_ARN")
    if parsed(modules, file, {}).returncode == 0:
        check.say("ARCHIVE_BUCKET", "may be missing, and the archive would be nowhere")
    variables = re.findall(r"\$\{vars\.(\w+)\}", text)
    for name in set(variables) ^ document["vars"].keys():
        check.say(name, "is in one only of vars and what refers to them")
    for problem in check.problems:
        print(f"{file}: {problem}", file=sys.stderr)
    if check.problems or not check.checked:
        sys.exit(1)
    print(f"{len(MISTAKES)} mistakes are noticed")
    print(f"{check.checked} properties are as Function Compute has them, and {len(ARRIVES)} variables of the function arrive")


main()
