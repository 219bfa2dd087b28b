#!/usr/bin/env python3
"""Runs Terraform itself on the modules, with providers of our own in place of the clouds'.

usage: modules.py AWS_PACKAGE ALICLOUD_PACKAGE CACHE APPLIED

Each module is initialized and validated, then planned, applied, planned again and destroyed with
combinations of its variables, and its tests in tests/infra/modules run (`terraform test`). The
providers know the schemas of the real ones (provider/schemas.py, which says what the packages are) and
keep no cloud (provider/serve.py). Terraform finds them in a mirror on disk rather than by dev_overrides,
because then `terraform init` also checks where each provider comes from and which version it must have.

The script ends with mistakes in a module that it must notice, so that a provider that accepts
everything does not pass. CACHE is a folder for the schemas and for the plans, which other tests read.
"""

import concurrent.futures
import hashlib
import itertools
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

from provider import schemas

HERE = pathlib.Path(__file__).parent
INFRA = HERE.parent.parent / "infra"
SAMPLE = HERE / "provider" / "sample.tf"
MISSING = "terraform is not installed. CONTRIBUTING.md says where to get it, under make test-infra."
# The versions that the schemas are of, or were written against.
VERSIONS = {"hashicorp/aws": "6.66.0", "aliyun/alicloud": "1.300.0"}
REGIONS = {"AWS_REGION": "us-east-1", "ALIBABA_CLOUD_REGION": "cn-hangzhou"}

TOKEN, OTHER_TOKEN = "a" * 32, "B-_9" * 32
ROLE = {
    "alibaba_role_arn": "acs:ram::123456:role/archiver",
    "alibaba_oidc_provider_arn": "acs:ram::123456:oidc-provider/archiver",
}
EACH_ACCOUNT = {name: arn.replace("123456", "{account}") for name, arn in ROLE.items()}
KEY = {"alibaba_access_key_id": "LTAI", "alibaba_access_key_secret": "secret"}
KEY_SECRET = {"alibaba_access_key_arn": "arn:aws:ssm:us-east-1:123456789012:parameter/archiver/key"}
TOKEN_SECRET = {
    "webhook_token_arn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:archiver-a1B2c3#token",
    # Not the key of kms_key_arn, so that neither stands for the other.
    "secrets_kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/0987dcba-09fe-87dc-65ba-ab0987654321",
}
NOTICES = {
    "notify_topic_arn": "arn:aws:sns:us-east-1:123456789012:faults",
    "notify_urls_arn": "arn:aws:ssm:us-east-1:123456789012:parameter/archiver/urls",
}
ISSUER = {
    "aws_issuer_url": "https://issuer.example.com",
    "aws_issuer_fingerprints": ["0" * 40, "f" * 40],
    "aws_role_arn": "arn:aws:iam::123456789012:role/ecs-console-archiver",
}
KMS_KEY = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
VPC = {
    "vpc_id": "vpc-bp1aevy8sofi8mh1q", "vswitch_ids": ["vsw-bp1cnzvbfq"], "security_group_id": "sg-bp1aevy8sof",
}
PUSH = {"url": "https://example.com/", "token": TOKEN}
# Module → what may be set, as a list of choices of which each combination has one. Every variable of
# the module is in one of them. Each pair of choices is in one combination at least.
CHOICES = {
    "aws": [
        [ROLE, EACH_ACCOUNT | {"alibaba_oidc_audience": "other"}, KEY, KEY_SECRET],
        [{}, {"webhook_token": f"{TOKEN},{OTHER_TOKEN}"}, TOKEN_SECRET],
        [{}, NOTICES, {"notify_topic_arn": NOTICES["notify_topic_arn"], "notify_severity": "fatal"}],
        [{}, {"sweep_regions": ["cn-hangzhou", "cn-beijing"]}],
        [{}, {"scheduled_redrive": True}],
        [{}, {"scheduled_compaction": True}],
        [{}, {"catalog_table": True}],
        [{}, {"name": "a" * 36}, {"region": "us-east-1", "architecture": "arm64"}],
        [{"object_lock_days": 30}, {"retention_days": 30, "log_retention_days": 365}, {"existing_bucket": "logs.example"}],
        [{}, {"alarm_topic_arn": "arn:aws:sns:us-east-1:123456789012:alarms"}, {"alarm_email": "operators@example.com"}],
        [{}, {"heartbeat_days": 7, "rejected_requests_per_hour": 0},
         {"logins_not_reached_percent": 20, "logins_not_reached_minimum": 5}],
        [{}, {"role_path": "/teams/platform/", "permissions_boundary_arn": "arn:aws:iam::123456789012:policy/limit"}],
        [{}, {"package_bucket": "packages", "package_key": "function.zip"}],
        [{}, {"subnet_ids": ["subnet-0a", "subnet-0b"], "security_group_ids": ["sg-0a"], "kms_key_arn": KMS_KEY}],
        [{}, {"log_class": "INFREQUENT_ACCESS", "dashboard": False, "tags": {"team": "platform"}}],
        [{"follow_seconds": 0, "max_concurrency": 12}, {"alibaba_region_id": "cn-beijing", "redact": "store", "screenshots": "always"}],
    ],
    "alibaba": [
        [{"bucket": "archive"}, {"bucket": "a" * 63, "redundancy": "LRS"}],
        [{}, {"name": "a" * 40}, {"region": "cn-hangzhou"}],
        [{}, {"account_role_arn": "acs:ram::{account}:role/archiver"}],
        [{}, {"sweep_regions": ["cn-hangzhou", "cn-beijing"]}],
        [{}, {"scheduled_redrive": True}],
        [{}, {"scheduled_compaction": True}],
        [{}, {"alarm_contact_group": "oncall"}, {"alarm_email": "oncall@example.com", "alarm_statistics": "Average"}],
        [{"follow_seconds": 0}, {"retention_days": 30, "log_retention_days": 3650}],
        [{"tags": {"team": "platform"}, "kms_key_id": "key-hzz62f1cb66fa42qo"}, {"create_bucket": False}],
        [{}, VPC | {"central_bus": True}, VPC | {"internet_access": False}],
        [{"existing_log_project": "logs", "existing_log_store": "consoles"}, {"replay_queue": True}],
        [{}, {"heartbeat_days": 7, "heartbeat_action_policy": "oncall"}],
        [{}, {"findings_action_policy": "oncall", "redact": "off", "screenshots": "never"},
         {"findings_action_policy": "oncall", "logins_not_reached_percent": 20, "logins_not_reached_minimum": 5}],
        [{}, {"notify_urls": "slack+https://hooks.slack.com/services/T0/B0/a", "notify_severity": "fatal"}],
    ],
    "rules": [
        [PUSH, PUSH | {"token_in_url": True}, {"bus": {"region": "cn-beijing", "account": "123456", "name": "archiver"}}],
        [{}, {"name": "a" * 40, "region": "cn-hangzhou"}],
        [{}, {"dead_letter_queue_arn": "acs:mns:cn-hangzhou:123456:/queues/failed"}],
    ],
    "push": [
        [PUSH],
        [{}, ISSUER, ISSUER | {"aws_audience": "other"}, ISSUER | {"existing_oidc_provider": "aws"}],
        [{}, {"name": "a" * 40, "region": "cn-hangzhou"}],
        [{}, {"dead_letter_queue_arn": "acs:mns:cn-hangzhou:123456:/queues/failed"}],
        [{}, {"token_in_url": True}],
    ],
}
# Variables that every combination of the module sets to a file of the test.
PACKAGE = {"aws": "package", "alibaba": "package"}
# What holds what must not be lost, and the variables that may replace it all the same.
KEPT = {
    "aws_s3_bucket.archive[0]": {"existing_bucket", "name", "object_lock_days"},
    "alicloud_oss_bucket.archive[0]": {"bucket", "create_bucket", "redundancy"},
}

ONE_IDENTITY = "Give one of alibaba_role_arn, alibaba_access_key_id and alibaba_access_key_arn, and only one."
# Module → variables that a condition of a resource refuses, and what it says. A resource may have several
# conditions, so that `expect_failures` of a test cannot tell which of them failed.
REFUSED = {
    "aws": [
        ({"alibaba_role_arn": ROLE["alibaba_role_arn"]},
         "Give alibaba_role_arn and alibaba_oidc_provider_arn together."),
        ({"alibaba_access_key_id": "LTAI"},
         "Give alibaba_access_key_id and alibaba_access_key_secret together."),
        ({}, ONE_IDENTITY),
        (ROLE | KEY, ONE_IDENTITY),
        (ROLE | KEY_SECRET, ONE_IDENTITY),
        (KEY | KEY_SECRET, ONE_IDENTITY),
        (ROLE | TOKEN_SECRET | {"webhook_token": TOKEN}, "Give either webhook_token or webhook_token_arn, and not both."),
        (ROLE | TOKEN_SECRET | {"webhook_token_arn": None},
         "Give secrets_kms_key_arn only with webhook_token_arn, alibaba_access_key_arn or notify_urls_arn."),
        (ROLE | {"region": "eu-west-1"},
         "The provider's region is us-east-1, and the variable region is another one. Set AWS_REGION."),
        (ROLE | {"alarm_email": "operators@example.com", "alarm_topic_arn": "arn:aws:sns:us-east-1:123456789012:alarms"},
         "Give either alarm_email or alarm_topic_arn. Subscribe the address to your topic yourself."),
        (ROLE | {"subnet_ids": ["subnet-0a"]}, "Give subnet_ids and security_group_ids together."),
        (ROLE | {"existing_bucket": "logs", "object_lock_days": 30},
         "Give either object_lock_days or existing_bucket. Lock the objects of your bucket yourself."),
        (ROLE | {"package_bucket": "packages"}, "Give package_bucket and package_key together."),
        (ROLE | {"package": "other.zip"},
         "There is no zip file at other.zip. Run make package, or set package to the zip file of a release."),
    ],
    "alibaba": [
        ({"bucket": "archive", "region": "cn-beijing"},
         "The provider's region is cn-hangzhou, and the variable region is another one. Set ALIBABA_CLOUD_REGION, "
         "and select the region's workspace."),
        ({"bucket": "archive", "vpc_id": VPC["vpc_id"]},
         "Set vpc_id, vswitch_ids and security_group_id together, or none of them."),
        ({"bucket": "archive", "vswitch_ids": VPC["vswitch_ids"]},
         "Set vpc_id, vswitch_ids and security_group_id together, or none of them."),
        ({"bucket": "archive", "internet_access": False},
         "Without internet_access, the function reaches ECS through a VPC. Set vpc_id, vswitch_ids and "
         "security_group_id."),
        ({"bucket": "archive", "central_bus": True} | VPC | {"internet_access": False},
         "Without internet_access, the function reaches ECS of its own region only. So unset central_bus, or set "
         "internet_access."),
        ({"bucket": "archive", "alarm_email": "oncall@example.com", "alarm_contact_group": "oncall"},
         "Set alarm_email or alarm_contact_group, not both."),
        ({"bucket": "archive", "heartbeat_days": 7},
         "With heartbeat_days, set heartbeat_action_policy to an action policy of Simple Log Service. It says whom "
         "to notify."),
        ({"bucket": "archive", "logins_not_reached_percent": 20},
         "With logins_not_reached_percent, set findings_action_policy to an action policy of Simple Log Service. It says "
         "whom to notify."),
        ({"bucket": "archive", "heartbeat_days": 7, "heartbeat_action_policy": "oncall", "log_retention_days": 6},
         "heartbeat_days must be at most log_retention_days, because the log is searched."),
    ],
    "rules": [
        (PUSH | {"region": "cn-beijing"},
         "The provider's region is cn-hangzhou, and the variable region is another one. Set ALIBABA_CLOUD_REGION."),
        ({}, "Give either url, with token, or bus."),
        (PUSH | {"bus": {"region": "cn-beijing", "account": "123456", "name": "archiver"}},
         "Give either url, with token, or bus."),
        ({"url": "https://example.com/"}, "With url, give token too."),
        ({"bus": {"region": "cn-hangzhou", "account": "123456", "name": "archiver"}},
         "The events of cn-hangzhou reach the function of that region without a bus. Leave it out, as a name of "
         "infra/regions.sh, too; each workspace reads what that script wrote."),
    ],
    "push": [
        (PUSH | {"region": "cn-beijing"},
         "The provider's region is cn-hangzhou, and the variable region is another one. Set ALIBABA_CLOUD_REGION."),
        (PUSH | {"aws_issuer_url": "https://issuer.example.com"},
         "With aws_issuer_url, set aws_role_arn too."),
        (PUSH | ISSUER | {"aws_issuer_fingerprints": []},
         "With aws_issuer_url, set aws_issuer_fingerprints too, or leave them out for Amazon's."),
    ],
}


class Failed(Exception):
    """What is wrong with a module."""


def module_files(name):
    """What Terraform reads of a module."""
    return [file for file in (INFRA / name).iterdir() if file.suffix in (".tf", ".json") or file.name == "queries"]


def variables_of(folder):
    text = "".join(file.read_text() for file in folder.glob("*.tf"))
    return set(re.findall(r'^variable "(\w+)"', text, re.M))


def combinations(choices):
    """Few combinations with one of each choice, such that each pair of choices is in one of them."""
    # Greedy, and the best of some orders that are the same in each run.
    attempts = (covering(choices, random.Random(seed)) for seed in range(30))
    for chosen in min(attempts, key=len):
        yield {name: value for factor, option in enumerate(chosen) for name, value in choices[factor][option].items()}


def covering(choices, order):
    factors = range(len(choices))
    pairs = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(factors, 2)
        for i in range(len(choices[a]))
        for j in range(len(choices[b]))
    }
    rows = []
    while pairs or not rows:
        chosen = dict(order.choice(sorted(pairs)))
        for factor in order.sample(factors, len(factors)):
            if factor not in chosen:
                news = [
                    sum(tuple(sorted([(factor, option), other])) in pairs for other in chosen.items())
                    for option in range(len(choices[factor]))
                ]
                chosen[factor] = order.choice([option for option, new in enumerate(news) if new == max(news)])
        pairs -= set(itertools.combinations(sorted(chosen.items()), 2))
        rows.append([chosen[factor] for factor in factors])
    return rows


def without_comments(text):
    return re.sub(r"(^|\s)#.*", "", text)


def untidy(folder):
    """What Terraform does not ask for: everything declared is used, and everything for people described."""
    files = {file: without_comments(file.read_text()) for file in folder.glob("*.tf")}
    text = "\n".join(files.values())
    blocks = re.findall(r'^(variable|output|data)((?: "\w+")+) \{\n(.*?)^\}', text, re.M | re.S)
    for kind, labels, body in blocks:
        name = ".".join(re.findall(r"\w+", labels))
        if kind in ("variable", "output") and not re.search(r"^  description += \"", body, re.M):
            yield f"{kind} {name} has no description"
        if kind == "variable" and not re.search(r"^  type +=", body, re.M):
            yield f"variable {name} has no type"
        own = {"variable": "var.", "data": "data."}.get(kind)
        if own and not re.search(rf"\b{re.escape(own + name)}\b", text.replace(body, "")):
            yield f"{own}{name} is not used"
    for body in re.findall(r"^locals \{\n(.*?)^\}", text, re.M | re.S):
        for name in re.findall(r"^  (\w+) += ", body, re.M):
            if not re.search(rf"\blocal\.{name}\b", text):
                yield f"local.{name} is not used"


class Workspace:
    """A copy of a module, beside the modules that it may use, and Terraform run in it."""

    def __init__(self, tools, files, name):
        self.tools = tools
        self.folder = tools.folder / name / "module"
        self.folder.mkdir(parents=True)
        for file in files:
            if file.is_dir():
                shutil.copytree(file, self.folder / file.name)
            else:
                shutil.copy(file, self.folder)
        for other in CHOICES:
            (self.folder.parent / other).symlink_to(INFRA / other)
        (self.folder / "function.zip").write_bytes(b"PK\5\6" + bytes(18))

    def run(self, *arguments, accepts=(0,)):
        command = [self.tools.terraform, *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self.tools.environment, capture_output=True, text=True, timeout=300
        )
        if done.returncode not in accepts:
            raise Failed(f"terraform {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done

    def init(self):
        self.run("init", "-no-color", "-input=false")

    def write_variables(self, values):
        (self.folder / "terraform.tfvars.json").write_text(json.dumps(values))

    def plan(self):
        self.run("plan", "-no-color", "-input=false", "-out=plan")
        return json.loads(self.run("show", "-json", "plan").stdout)

    def apply(self):
        self.run("apply", "-no-color", "-input=false", "plan")

    def resources(self):
        """Address → attributes of what was applied."""
        state = json.loads((self.folder / "terraform.tfstate").read_text())
        return {
            f"{resource['type']}.{resource['name']}" + (f"[{json.dumps(one['index_key'])}]" if "index_key" in one else ""):
                one["attributes"]
            for resource in state["resources"] if resource["mode"] == "managed"
            for one in resource["instances"]
        }

    def expect_no_changes(self):
        done = self.run("plan", "-no-color", "-input=false", "-detailed-exitcode", accepts=(0, 2))
        if done.returncode == 2:
            raise Failed(f"a plan after the apply is not empty:\n{done.stdout}")


class Tools:
    """Terraform, and a mirror with the providers."""

    def __init__(self, folder, terraform, schemas):
        self.folder, self.terraform = folder, terraform
        sockets, mirror, configuration = folder / "s", folder / "mirror", folder / "terraformrc"
        sockets.mkdir()
        for source, version in VERSIONS.items():
            name = source.split("/")[1]
            where = mirror / "registry.terraform.io" / source / version / self.platform()
            where.mkdir(parents=True)
            program = where / f"terraform-provider-{name}_v{version}"
            # -I and -S: without what takes time to look for, and is not used.
            program.write_text(f"#!/bin/sh\nexec '{sys.executable}' -IS '{HERE}/provider/start.py' {name} '{folder}/p'\n")
            program.chmod(0o755)
        command = [sys.executable, HERE / "provider" / "serve.py", folder / "p", schemas]
        self.providers = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        if self.providers.stdout.readline() != "ready\n":
            raise Failed("the providers do not start")
        configuration.write_text(f'provider_installation {{ filesystem_mirror {{ path = "{mirror}" }} }}\n')
        self.environment = REGIONS | {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "CHECKPOINT_DISABLE": "1",
            "TF_CLI_CONFIG_FILE": str(configuration),
            "TF_DISABLE_PLUGIN_TLS": "1",
            "TF_IN_AUTOMATION": "1",
            "TMPDIR": str(sockets),
        }

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.providers.terminate()
        self.providers.wait()

    def platform(self):
        done = subprocess.run([self.terraform, "version", "-json"], capture_output=True, text=True, check=True,
                              env={"CHECKPOINT_DISABLE": "1", "HOME": str(self.folder)})
        return json.loads(done.stdout)["platform"]


def lost(plan, before, after):
    """What the plan replaces or removes although none of the variables it may depend on changes."""
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    for change in plan.get("resource_changes", []):
        address = change["address"]
        if "delete" in change["change"]["actions"] and address in KEPT and not KEPT[address] & changed:
            yield f"{address} would be replaced, because of {', '.join(sorted(changed))}"


def check_module(tools, name, applied):
    folder = INFRA / name
    workspace = Workspace(tools, module_files(name), name)
    declared = variables_of(folder)
    package = PACKAGE.get(name)
    known = {variable for options in CHOICES[name] for option in options for variable in option}
    known |= {package} if package else set()
    for variable in sorted(declared - known):
        raise Failed(f"the variable {variable} is in no combination: add it to CHOICES in tests/infra/modules.py")
    workspace.run("fmt", "-no-color", "-check", "-diff")
    for problem in untidy(folder):
        raise Failed(problem)
    workspace.init()
    workspace.run("validate", "-no-color")
    before, count, changes = {}, 0, 0
    for values in combinations(CHOICES[name]):
        if package:
            values[package] = "function.zip"
        try:
            workspace.write_variables(values)
            plan = workspace.plan()
            for problem in lost(plan, before, values) if before else ():
                raise Failed(problem)
            workspace.apply()
            workspace.expect_no_changes()
            known = {"variables": values, "resources": workspace.resources()}
            (applied / f"{name}-{count}.json").write_text(json.dumps(known))
        except Failed as failed:
            raise Failed(f"with {values}: {failed}")
        changes += sum(change["change"]["actions"] != ["no-op"] for change in plan["resource_changes"])
        before, count = values, count + 1
    workspace.run("destroy", "-no-color", "-input=false", "-auto-approve")
    left = json.loads(workspace.run("show", "-json").stdout).get("values", {})
    if left.get("root_module", {}).get("resources"):
        raise Failed("a destroy leaves resources")
    return f"infra/{name}: {len(declared)} variables in {count} combinations, {changes} changes applied"


# What the modules are given, that infra/regions.sh writes the rules of other regions for.
WITH_REGIONS = {"push": PUSH, "alibaba": {"bucket": "archive", "package": "function.zip", "central_bus": True}}


def check_regions(tools, name):
    """One apply sets the regions that infra/regions.sh names, and removes those that it no longer names."""
    workspace = Workspace(tools, module_files(name), f"{name}-regions")
    # The script writes into the folder beside itself.
    script = workspace.folder.parent / "regions.sh"
    shutil.copy(INFRA / "regions.sh", script)
    (workspace.folder.parent / name).unlink()
    workspace.folder = workspace.folder.rename(workspace.folder.parent / name)
    workspace.write_variables(WITH_REGIONS[name] | {"region": "cn-hangzhou"})
    own = {("rules", "cn-hangzhou")} if name == "push" else set()
    for regions in (["cn-beijing", "ap-southeast-1"], ["cn-beijing", "eu-central-1"], []):
        subprocess.run([script, name, *regions], check=True)
        workspace.run("fmt", "-no-color", "-check", "-diff")
        workspace.init()
        workspace.plan()
        workspace.apply()
        workspace.expect_no_changes()
        values = json.loads(workspace.run("show", "-json").stdout)["values"]["root_module"]
        found = {
            (module["address"].removeprefix("module."), one["values"]["regions"][0]["id"])
            for module in values.get("child_modules", [])
            for one in module["resources"] if one["address"].endswith("data.alicloud_regions.current")
        }
        if found != {*own, *zip(regions, regions)}:
            raise Failed(f"the rules of {regions} are in {found}")
    for wrong in ('cn-beijing"', "beijing", "$(id)", ""):
        done = subprocess.run([script, name, wrong], capture_output=True, text=True)
        if done.returncode != 2 or "is not the ID of a region" not in done.stderr:
            raise Failed(f"the region {wrong!r} is not refused: {done}")
    (workspace.folder / "terraform.tfvars").write_text('bucket = "region"\nregion   = "cn-hangzhou"\n')
    done = subprocess.run([script, name, "cn-beijing", "cn-hangzhou"], capture_output=True, text=True)
    if done.returncode != 2 or "cn-hangzhou is the region of terraform.tfvars" not in done.stderr:
        raise Failed(f"the module's own region is not refused: {done}")
    return f"infra/regions.sh {name}: one apply sets all regions that it names"


# The words that a reader fills in, and what else an example needs.
FILLED_IN = {
    "OTHER_REGION_ID": "cn-beijing", "REGION_ID": "cn-hangzhou", "ALIBABA_ACCOUNT_ID": "123456", "BUCKET": "archive",
    "VERSION": "0.0.1",
}
OWN_VARIABLES = {"aws": 'variable "webhook_token" {\n  default = "%s"\n}\n' % TOKEN}
PAGES_WITH_MODULES = ["aws", "alibaba", "push"]


def check_example(tools, page):
    """The page's example of a module works by its address in a git repository, at the tag of a release."""
    text = (INFRA / page / "README.md").read_text()
    [example] = [block for block in re.findall(r"```terraform\n(.*?)```", text, re.S) if 'module "' in block]
    workspace = Workspace(tools, [], f"{page}-example")
    repository = workspace.folder.parent / "repository"
    shutil.copytree(INFRA, repository / "infra", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars"))
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@example.com"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "Release"], ["tag", "v0.0.1"]):
        subprocess.run(["git", *identity, *arguments], cwd=repository, env=tools.environment, check=True)
    for word, value in FILLED_IN.items():
        example = re.sub(rf"{word}\b", value, example)
    sources = re.findall(r'source += "git::https://REPOSITORY//infra/(\w+)\?ref=v0\.0\.1"', example)
    if not sources or len(sources) != example.count("module \""):
        raise Failed(f"an address in the example is not that of a folder at a release:\n{example}")
    example = example.replace("https://REPOSITORY", f"file://{repository}")
    (workspace.folder / "main.tf").write_text(example + OWN_VARIABLES.get(page, ""))
    for file in re.findall(r'\$\{path\.root\}/([^"]+)', example):
        shutil.copy(workspace.folder / "function.zip", workspace.folder / file)
    if page == "push":
        workspace.write_variables({"token": TOKEN})
    workspace.run("fmt", "-no-color", "-check", "-diff")
    workspace.init()
    workspace.run("validate", "-no-color")
    workspace.plan()
    workspace.apply()
    workspace.expect_no_changes()
    return f"infra/{page}: the page's example of {' and '.join(sources)} is applied from a git address"


def check_refused(tools, name, index):
    values, message = REFUSED[name][index]
    workspace = Workspace(tools, module_files(name), f"{name}-refused-{index}")
    workspace.init()
    workspace.write_variables(({PACKAGE[name]: "function.zip"} if name in PACKAGE else {}) | values)
    try:
        workspace.plan()
    except Failed as failed:
        if message not in flat(str(failed)):
            raise Failed(f"with {values}, nobody says {message!r}: {failed}")
    else:
        raise Failed(f"{values} are not refused")


def flat(text):
    """Terraform breaks lines, and puts a bar before each."""
    return re.sub(r"[\s│]+", " ", text)


def unrefused(name):
    """Conditions of a module that no test sees refuse something."""
    folder = INFRA / name
    text = "\n".join(without_comments(file.read_text()) for file in folder.glob("*.tf"))
    tests = (HERE / "modules" / f"{name}.tftest.hcl").read_text()
    expected = " ".join(re.findall(r"expect_failures = \[(.*?)\]", tests, re.S))
    for variable, body in re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.M | re.S):
        conditions = len(re.findall(r"^  validation \{", body, re.M))
        if len(re.findall(rf"\bvar\.{variable}\b", expected)) < conditions:
            yield f"var.{variable} has {conditions} validations, and no test for each in {name}.tftest.hcl"
    for condition in re.findall(r"^    (?:pre|post)condition \{\n(.*?)^    \}", text, re.M | re.S):
        [message] = re.findall(r'error_message\s+= "(.*)"', condition)
        # What is put in its place is another word in each case.
        pattern = ".*".join(re.escape(part) for part in re.split(r"\$\{[^}]*\}", message))
        if not any(re.fullmatch(pattern, said) for _, said in REFUSED[name]):
            yield f"no test sees {message!r}: add what leads to it to REFUSED in tests/infra/modules.py"


def check_tests(tools, name):
    tests = HERE / "modules" / f"{name}.tftest.hcl"
    for problem in unrefused(name):
        raise Failed(problem)
    workspace = Workspace(tools, module_files(name), f"{name}-tests")
    shutil.copy(tests, workspace.folder)
    workspace.init()
    done = workspace.run("test", "-no-color")
    passed = re.search(r"^Success! (\d+) passed, 0 failed", done.stdout, re.M)
    if not passed or not int(passed[1]):
        raise Failed(f"no test ran:\n{done.stdout}")
    return f"infra/{name}: terraform test: {passed[1]} runs pass"


# What is changed in the sample, what with, and what must be said about it.
MISTAKES = [
    ("visibility_timeout_seconds = 360", "visibility_timeout = 360", "Unsupported argument"),
    ("architectures = [", "architecture = [", "Unsupported argument"),
    ("lifecycle_rule {", "lifecycle_rules {", "Unsupported block type"),
    ("environment_variables = {", "environment_variables {", "Unsupported block type"),
    ("  environment {", "  environment = {", "Unsupported argument"),
    ("visibility_timeout_seconds = 360", 'visibility_timeout_seconds = "soon"', "a number is required"),
    ('command = ["/code/bootstrap"]', 'command = "/code/bootstrap"', "list of string required"),
    ("enabled = true", 'enabled = "perhaps"', "a bool is required"),
    ("aws_sqs_queue.events.url", "aws_sqs_queue.event.url", "Reference to undeclared resource"),
    ("aws_sqs_queue.events.url", "aws_sqs_queue.events.address", "Unsupported attribute"),
    ("alicloud_oss_bucket.archive.bucket", "alicloud_oss_bucket.archive.lifecycle_rule[0].expiration[0].days",
     "set of object"),
    ("aws_lambda_function.function.arn", "aws_lambda_function.function[0].arn", "Unexpected resource instance key"),
    ('  handler       = "bootstrap"\n', "", "Missing required argument"),
    ("    enabled = true\n", "", "Missing required argument"),
    ("  environment {", "  environment {}\n  environment {", "Too many environment blocks"),
    ('name               = "function"', 'name               = "function"\n  arn = "arn"', "unconfigurable attribute"),
    ('resource "aws_sqs_queue"', 'resource "aws_sqs_queues"', "Invalid resource type"),
    # These are noticed later: by the provider in a plan, by a second plan, by an initialization.
    ('function_name = "function"\n  description', f'function_name = "{"a" * 65}"\n  description', "may have 64"),
    ('"A function"', "timestamp()", "a plan after the apply is not empty"),
    (">= 6.29.0", ">= 99.0.0", "no available releases match"),
    ("aliyun/alicloud", "hashicorp/alicloud", "hashicorp/alicloud"),
]


def check_mistake(tools, index):
    old, new, message = MISTAKES[index]
    text = SAMPLE.read_text()
    if old not in text:
        raise Failed(f"the sample has no {old!r}")
    workspace = Workspace(tools, [SAMPLE], f"mistake-{index}")
    (workspace.folder / SAMPLE.name).write_text(text.replace(old, new, 1))
    try:
        check_sample(workspace)
    except Failed as failed:
        if message not in flat(str(failed)):
            raise Failed(f"{new!r} in place of {old!r} is noticed, but not by {message!r}: {failed}")
    else:
        raise Failed(f"{new!r} in place of {old!r} is not noticed")


def check_sample(workspace):
    workspace.init()
    workspace.run("validate", "-no-color")
    workspace.plan()
    workspace.apply()
    workspace.expect_no_changes()


def schema_file(aws_package, alicloud_package, cache):
    """The schemas of the kinds that the modules have, read from the packages once."""
    files = sorted(INFRA.glob("*/*.tf")) + [SAMPLE]
    used = sorted(schemas.used_in(files))
    key = [pathlib.Path(schemas.__file__).read_text(), aws_package, alicloud_package, str(used)]
    file = cache / f"schemas-{hashlib.sha256('|'.join(key).encode()).hexdigest()[:12]}.json"
    if not file.exists():
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(schemas.read(aws_package, alicloud_package, used)))
        part.rename(file)
    return file


def main():
    aws_package, alicloud_package, cache, applied = sys.argv[1:]
    terraform = shutil.which("terraform")
    if terraform is None:
        sys.exit(MISSING)
    cache, applied = pathlib.Path(cache), pathlib.Path(applied)
    shutil.rmtree(applied, ignore_errors=True)
    applied.mkdir(parents=True)
    found = schema_file(aws_package, alicloud_package, cache)
    problems, lines = [], []
    with tempfile.TemporaryDirectory(prefix="t") as folder, \
            Tools(pathlib.Path(folder), terraform, found) as tools, \
            concurrent.futures.ThreadPoolExecutor(max_workers=os.cpu_count()) as workers:
        tasks = {}
        for name in CHOICES:
            tasks[workers.submit(check_module, tools, name, applied)] = f"infra/{name}"
        for name in CHOICES:
            tasks[workers.submit(check_tests, tools, name)] = f"tests/infra/modules/{name}.tftest.hcl"
            for index in range(len(REFUSED[name])):
                tasks[workers.submit(check_refused, tools, name, index)] = f"infra/{name}"
        for name in PAGES_WITH_MODULES:
            tasks[workers.submit(check_example, tools, name)] = f"the example in infra/{name}/README.md"
        for name in WITH_REGIONS:
            tasks[workers.submit(check_regions, tools, name)] = f"infra/regions.sh {name}"
        tasks[workers.submit(check_sample, Workspace(tools, [SAMPLE], "sample"))] = "the sample"
        for index in range(len(MISTAKES)):
            tasks[workers.submit(check_mistake, tools, index)] = "a mistake"
        for task, what in tasks.items():
            try:
                lines.append(task.result())
            except Failed as failed:
                problems.append(f"{what}: {failed}")
    for line in filter(None, lines):
        print(line)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{sum(map(len, REFUSED.values()))} mistakes of an operator are refused with the module's own words")
    print(f"{len(MISTAKES)} mistakes in a module are noticed")


if __name__ == "__main__":
    main()
