#!/usr/bin/env python3
"""Holds the policies on Alibaba Cloud to the tables of permissions on the pages.

usage: ram_permissions.py APPLIED ROS_TEMPLATE ACCOUNTS_TEMPLATE PAGE AWS_PAGE

PAGE is that of infra/alibaba, with the commands for Serverless Devs. AWS_PAGE is that of infra/aws, whose
function has a role on Alibaba Cloud by infra/push. The tables are used as aws_permissions.py does: what is
in them must be allowed, and everything else denied, by the policies that modules.py applied (APPLIED).
ros.yaml, resolved for the same parameters, and the page's commands must give the same statements.
ACCOUNTS_TEMPLATE is resolved for the function's account and for another one (ACCOUNTS).
"""

import copy
import json
import pathlib
import re
import sys

import pages
import ram
import templates

ACCOUNT, REGION = "1234567890123456", "cn-hangzhou"
TLS = {"acs:SecureTransport": "true"}
PLAIN = {"acs:SecureTransport": "false"}
ON_ALIBABA = ", on Alibaba Cloud"
# Who, in a table → the address of the role or of the policy that they have.
MODULES = {
    "alibaba": {"the function": "alicloud_ram_role.archiver", "readers": "alicloud_ram_policy.reader",
                "who replays failed events": "alicloud_ram_policy.redrive"},
    "push": {f"the function{ON_ALIBABA}": "alicloud_ram_role.aws[0]"},
}
TRUSTED = {
    "Function Compute": ("Service", "fc.aliyuncs.com"),
    f"AWS{ON_ALIBABA}": ("Federated", f"acs:ram::{ACCOUNT}:oidc-provider/{{name}}"),
}
# Module → ROS's name of a role or policy → Terraform's address.
SAME = {
    "ArchiverRole": "alicloud_ram_role.archiver",
    "ReaderPolicy": "alicloud_ram_policy.reader",
    "RedrivePolicy": "alicloud_ram_policy.redrive",
}
NOTICES = "console/notices/outbox/"
# A condition of the table → what goes with a request that is allowed, and what with those that are denied.
CONTEXTS = {
    "keys below `console/`": (
        {"oss:Prefix": "console/i-1/"}, [{}, {"oss:Prefix": ""}, {"oss:Prefix": "other/"}, {"oss:Prefix": "console"}],
    ),
    "keys below `console/failed/`": (
        {"oss:Prefix": "console/failed/"},
        [{}, *({"oss:Prefix": prefix} for prefix in ("", "console/", "console/i-1/", "console/catalog/rows/", NOTICES))],
    ),
    "keys below `console/catalog/`": (
        {"oss:Prefix": "console/catalog/rows/"},
        [{}, *({"oss:Prefix": prefix} for prefix in ("", "console/", "console/i-1/", "console/failed/", NOTICES))],
    ),
    "keys below `console/notices/`": (
        {"oss:Prefix": NOTICES},
        [{}, *({"oss:Prefix": prefix} for prefix in ("", "console/", "console/i-1/", "console/failed/", "console/catalog/rows/"))],
    ),
    "with a token of the function's role": (
        {"oidc:iss": "{aws_issuer_url}", "oidc:aud": "{aws_audience}", "oidc:sub": "{aws_role_arn}"},
        [
            {"oidc:iss": "https://other", "oidc:aud": "{aws_audience}", "oidc:sub": "{aws_role_arn}"},
            {"oidc:iss": "{aws_issuer_url}", "oidc:aud": "another", "oidc:sub": "{aws_role_arn}"},
            {"oidc:iss": "{aws_issuer_url}", "oidc:aud": "{aws_audience}", "oidc:sub": "{aws_role_arn}2"},
            {"oidc:iss": "{aws_issuer_url}", "oidc:aud": "{aws_audience}"},
        ],
    ),
}
# Asked besides the tables', because they would lose or change what must not be.
DANGEROUS = """
    oss:GetObject oss:PutObject oss:DeleteObject oss:DeleteObjectVersion oss:PutObjectAcl oss:ListObjects oss:DeleteBucket
    oss:PutBucketPolicy oss:PutBucketLifecycle oss:PutBucketVersioning
    ecs:StopInstance ecs:RebootInstance ecs:DeleteInstance ecs:RunCommand ecs:GetInstanceScreenshot
    log:DeleteLogStore log:GetLogStoreLogs log:PostLogStoreLogs ram:CreateAccessKey ram:AttachPolicyToRole ram:PassRole
    fc:InvokeFunction fc:UpdateFunction sts:AssumeRole mns:SendMessage mns:ReceiveMessage mns:DeleteMessage kms:Decrypt
""".split()


class Deployment:
    def __init__(self, module, file):
        known = json.loads(file.read_text())
        self.module, self.variables, self.resources = module, known["variables"], known["resources"]
        oss = f"acs:oss:oss-{REGION}:{ACCOUNT}"
        name = self.variables.get("name", "ecs-console-archiver")
        self.name = name
        # The words of the table → resources of a request. Also what others have, which nothing may touch.
        self.places = {
            "instances": [f"acs:ecs:{REGION}:{ACCOUNT}:instance/i-1", f"acs:ecs:cn-beijing:{ACCOUNT}:instance/i-2"],
            "instances of another account": [f"acs:ecs:{REGION}:6543210987654321:instance/i-1"],
            "listings": ["*"],
            "the function's role": [f"acs:ram::{ACCOUNT}:role/{name}{'-aws' if module == 'push' else ''}"],
            "another role": [f"acs:ram::{ACCOUNT}:role/others"],
            "a key": [f"acs:kms:{REGION}:{ACCOUNT}:key/others"],
            "another function": [f"acs:fc:{REGION}:{ACCOUNT}:functions/others", f"acs:fc:{REGION}:{ACCOUNT}:functions/{name}-2"],
            "another queue": [f"acs:mns:{REGION}:{ACCOUNT}:/queues/others/messages"],
            "another bucket": [f"{oss}:others", f"{oss}:others/console/i-1/20260101T000000.log.gz"],
            "another logstore": [f"acs:log:{REGION}:{ACCOUNT}:project/others/logstore/function"],
        }
        if module == "alibaba":
            bucket = f"{oss}:{self.variables['bucket']}"
            project = self.variables.get("existing_log_project") or f"{name}-{ACCOUNT}"
            logstore = self.variables.get("existing_log_store") or "function"
            self.places |= {
                "the archive": [bucket],
                "objects below `console/`": [f"{bucket}/console/i-1/20260101T000000.log.gz"],
                "objects below `console/failed/`": [f"{bucket}/console/failed/event.json"],
                "objects below `console/catalog/`": [
                    f"{bucket}/console/catalog/rows/dt=2026-01-01/a.json", f"{bucket}/console/catalog/days/dt=2026-01-01/a.jsonl.gz",
                ],
                "objects below `console/notices/`": [f"{bucket}/console/notices/outbox/2026-01-01/0123456789ab-0001.json"],
                "other objects of the bucket": [f"{bucket}/other/object", f"{bucket}/console", f"{bucket}/console-2/object"],
                "the function itself": [
                    f"acs:fc:{REGION}:{ACCOUNT}:functions/{name}", f"acs:fc:{REGION}:{ACCOUNT}:functions/{name}/LATEST",
                ],
                "its own logstore": [f"acs:log:{REGION}:{ACCOUNT}:project/{project}/logstore/{logstore}"],
                "its own queue": [f"acs:mns:{REGION}:{ACCOUNT}:/queues/{name}-failed/messages"],
                "its own key": [f"acs:kms:{REGION}:{ACCOUNT}:key/{self.variables.get('kms_key_id', 'none')}"],
                "the roles of other accounts": ["acs:ram::6543210987654321:role/archiver"],
            }

    def documents(self, address):
        """The policies of a role by its attachments, or the policy itself."""
        if not address.startswith("alicloud_ram_role."):
            one = self.resources.get(address)
            return [json.loads(one["policy_document"])] if one else []
        role = self.resources.get(address)
        names = {one["policy_name"] for kind, one in self.resources.items()
                 if role and kind.startswith("alicloud_ram_role_policy_attachment.") and one["role_name"] == role["role_name"]}
        return [json.loads(one["policy_document"]) for kind, one in self.resources.items()
                if kind.startswith("alicloud_ram_policy.") and one["policy_name"] in names]

    def trust(self):
        address = next(address for address in MODULES[self.module].values() if "role." in address)
        one = self.resources.get(address)
        return [json.loads(one["assume_role_policy_document"])] if one else []

    def bucket_policy(self):
        one = next((one for address, one in self.resources.items() if address.startswith("alicloud_oss_bucket_policy.")), None)
        return [json.loads(one["policy"])] if one else []

    def is_set(self, variable):
        return bool(self.variables.get(variable))

    def filled(self, context):
        defaults = {"aws_audience": "sts.aliyuncs.com", "aws_issuer_url": "", "aws_role_arn": ""}
        return {key: value.format(**(defaults | self.variables)) for key, value in context.items()}

    def decide(self, who, action, resource, context):
        """Whether a request is allowed: by the asker's policies, the role's, and the bucket's."""
        if who in TRUSTED:
            kind, name = TRUSTED[who]
            if resource not in self.places["the function's role"]:
                return False
            return ram.decision(self.trust(), (kind, name.format(name=self.variables.get("existing_oidc_provider") or self.name)), action, resource, context) is True
        own = self.documents(MODULES[self.module][who]) if who != "an administrator" else [EVERYTHING]
        policies = own + (self.bucket_policy() if ":oss:" in resource else [])
        return ram.decision(policies, ("RAM", "asker"), action, resource, context) is True


EVERYTHING = {"Version": "1", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def service(name):
    return name.split(":")[1] if name.startswith("acs:") else name.split(":")[0]


def check(deployment, rows):
    """What the policies decide otherwise than the table says, and how many requests were decided."""
    problems, asked, allowed = [], 0, set()

    def ask(who, action, resource, context, expected):
        nonlocal asked
        asked += 1
        if deployment.decide(who, action, resource, context) != expected:
            problems.append(f"{who}: {action} on {resource} with {context} is {'denied' if expected else 'allowed'}")

    # What no condition refuses. Conditions on the same key make several.
    fine = [dict(TLS)]
    for good, _ in CONTEXTS.values():
        good = deployment.filled(good)
        fine = [one | good for one in fine] + [one for one in fine if one.keys() & good.keys()]
    asking = []
    for who, action, place, conditions in rows:
        good, bads, counts = dict(TLS), [], True
        for phrase in conditions:
            variable = re.fullmatch(r"with `(\w+)`", phrase)
            if variable:
                counts = counts and deployment.is_set(variable[1])
                continue
            own, others = CONTEXTS[phrase]
            good |= deployment.filled(own)
            bads += [TLS | deployment.filled(other) for other in others]
        if counts:
            asking.append((who, action, place, good, bads))
    for who, action, place, good, bads in asking:
        allowed.add((who, action, place))
        # Another row may allow what this one does not.
        elsewhere = [other for *what, other, _ in asking if what == [who, action, place]]
        for resource in deployment.places[place]:
            ask(who, action, resource, good, True)
            for bad in (one for one in bads if one not in elsewhere):
                ask(who, action, resource, bad, False)
            # A bucket that was there before has its own policy.
            if ":oss:" in resource and deployment.bucket_policy():
                ask(who, action, resource, good | PLAIN, False)
    documents = [document for address in MODULES[deployment.module].values() for document in deployment.documents(address)]
    named = {part[1] for document in documents for part in pages.statements(document)}
    people = {*MODULES[deployment.module], *TRUSTED, *(who for who, *_ in rows)}
    for who in sorted(people):
        for action in sorted({*DANGEROUS, *named, *(action for _, action, _, _ in rows)}):
            for place, resources in deployment.places.items():
                for resource in resources:
                    is_role = action == "sts:AssumeRole" and ":ram:" in resource
                    is_possible = resource == "*" or is_role or service(action) == service(resource)
                    # RAM has no narrower resource for a listing, so it may be of anything.
                    if is_possible and not {(who, action, place), (who, action, "listings")} & allowed:
                        for context in fine:
                            ask(who, action, resource, context, False)
    if deployment.bucket_policy():
        for action in (one for one in DANGEROUS if one.startswith("oss:")):
            for place in ("the archive", "objects below `console/`", "other objects of the bucket"):
                for resource in deployment.places[place]:
                    ask("an administrator", action, resource, TLS, True)
                    ask("an administrator", action, resource, PLAIN, False)
    return problems, asked


def uncovered(deployment):
    attached = {one["policy_name"] for kind, one in deployment.resources.items() if "policy_attachment." in kind}
    known = set(MODULES[deployment.module].values())
    for address, one in deployment.resources.items():
        if re.match(r"alicloud_ram_(role|policy|user|group)\.", address) and address not in known:
            if one.get("policy_name") not in attached:
                yield f"{address} is nobody in the table: add it to tests/infra/ram_permissions.py"


def ros_statements(document, deployment):
    """Address → statements of ROS's policies for the same parameters; of a role, of all its policies."""
    pascal = {re.sub(r"(?:^|_)([a-z])", lambda found: found[1].upper(), name): value
              for name, value in deployment.variables.items()}
    given = {name: templates.parameter(value)
             for name, value in pascal.items() if name in document["Parameters"]}
    known = {"ALIYUN::TenantId": ACCOUNT, "ALIYUN::AccountId": ACCOUNT, "ALIYUN::Region": REGION}
    resolver = templates.Resolver(document, known | given)
    # An attribute of a resource is the property it was made with, and otherwise stands for itself.
    for name, resource in document["Resources"].items():
        for text in re.findall(rf"\b{name}\.(\w+)", str(document)) + re.findall(rf"\['{name}', '(\w+)'\]", str(document)):
            try:
                value = resolver.value(resource.get("Properties", {}).get(text, f"{name}.{text}"))
            except KeyError:
                value = f"{name}.{text}"
            resolver.known[f"{name}.{text}"] = value
    found = {}
    for name, resource in document["Resources"].items():
        if "Condition" in resource and not resolver.condition(resource["Condition"]):
            continue
        if resource["Type"] == "ALIYUN::RAM::Role":
            trust = resolver.value(resource["Properties"]["AssumeRolePolicyDocument"])
            found[f"{SAME.get(name, name)} trusts"] = pages.statements(trust)
        if resource["Type"] == "ALIYUN::RAM::ManagedPolicy":
            properties = resolver.value(resource["Properties"])
            is_functions = bool(properties.get("Roles"))
            owner = SAME["ArchiverRole"] if is_functions else SAME.get(name, name)
            found.setdefault(owner, set()).update(pages.statements(properties["PolicyDocument"]))
        policy = resource.get("Properties", {}).get("Policy") if resource["Type"] == "ALIYUN::OSS::Bucket" else None
        if policy:
            found["the bucket"] = pages.statements(resolver.value(policy))
    return found


def module_statements(deployment):
    found = {"the bucket": set().union(*map(pages.statements, deployment.bucket_policy()))}
    for address in MODULES["alibaba"].values():
        found[address] = set().union(*map(pages.statements, deployment.documents(address)))
    found["alicloud_ram_role.archiver trusts"] = set().union(*map(pages.statements, deployment.trust()))
    return {name: statements for name, statements in found.items() if statements}


# What gives the function one more policy → the end of the policy's name.
OPTIONS = {"scheduled_redrive": "function-redrive", "scheduled_compaction": "function-compaction",
           "notify_urls": "function-notices"}


def command_policies(page):
    """The policies that the page's commands for Serverless Devs create: of the function, its trust, and those of OPTIONS."""
    text = pathlib.Path(page).read_text()
    [policy] = re.findall(r"CreatePolicy --PolicyName ecs-console-archiver --PolicyDocument '(.*?)'", text, re.S)
    [trust] = re.findall(r"CreateRole --RoleName ecs-console-archiver --AssumeRolePolicyDocument '(.*?)'", text, re.S)
    options = []
    for name in OPTIONS.values():
        [option] = re.findall(rf"CreatePolicy --PolicyName ecs-console-archiver-{name} --PolicyDocument '(.*?)'", text, re.S)
        options.append(option)
    return [json.loads(one.replace("ACCOUNT_ID", ACCOUNT)) for one in (policy, trust, *options)]


def commands_differ(page, deployment):
    """In what the page's commands give other statements than the function's policy has by default."""
    policy, trust, *_ = command_policies(page)
    policy = json.loads(json.dumps(policy).replace("BUCKET", deployment.variables["bucket"]))
    # Serverless Devs makes up the names of its project and its logstore.
    is_log = lambda part: part[1].startswith("log:")
    # The commands leave the region open, and have the default name.
    own = deployment.resources["alicloud_ram_policy.archiver"]["policy_document"]
    own = re.sub(rf'/{deployment.name}(?=[-/"])', "/ecs-console-archiver", own.replace(f":{REGION}:", ":*:"))
    ours, theirs = pages.statements(json.loads(own)), pages.statements(policy)
    for one in sorted(map(str, {one for one in ours ^ theirs if not is_log(one)})):
        yield f"{page}: in one only of main.tf and the commands for Serverless Devs: {one}"
    if {one[1] for one in ours if is_log(one)} != {one[1] for one in theirs if is_log(one)}:
        yield f"{page}: main.tf and the commands for Serverless Devs do not allow the same on logs"
    if set().union(*map(pages.statements, deployment.trust())) != pages.statements(trust):
        yield f"{page}: main.tf and the commands for Serverless Devs do not trust the same"


def options_differ(page, deployments):
    """In what the page's commands give other policies for OPTIONS than the module."""
    _, _, *policies = command_policies(page)
    for (option, name), policy in zip(OPTIONS.items(), policies, strict=True):
        deployment = next(one for one in deployments if one.is_set(option))
        policy = json.loads(json.dumps(policy).replace("BUCKET", deployment.variables["bucket"]))
        own = json.loads(deployment.resources[f"alicloud_ram_policy.{name.replace('-', '_')}[0]"]["policy_document"])
        for one in sorted(map(str, pages.statements(own) ^ pages.statements(policy))):
            yield f"{page}: in one only of main.tf and the command for {name} with Serverless Devs: {one}"


OTHER_ACCOUNT = "6543210987654321"
FUNCTION = ("RAM", f"acs:ram::{ACCOUNT}:role/ecs-console-archiver")
SENDER = ("Service", f"{OTHER_ACCOUNT}@eventbridge.aliyuncs.com")
INSTANCE, CONSOLE = "acs:ecs:cn-beijing:{account}:instance/i-1", f"acs:oss:oss-{REGION}:{ACCOUNT}:archive/console/i-1/a.log.gz"
# (Account, region, bucket) of a stack of accounts.yaml → its resources, and for each of its roles who may assume it, and
# (action, resource) → whether the role may do it.
ACCOUNTS = {
    (ACCOUNT, REGION, "archive"): {"Senders": ([SENDER], {}), "Instances": ([FUNCTION], {
        ("ecs:GetInstanceConsoleOutput", INSTANCE): True, ("ecs:GetInstanceScreenshot", INSTANCE): True, ("ecs:DescribeRegions", "*"): True, ("oss:PutObject", CONSOLE): True,
    })},
    (OTHER_ACCOUNT, REGION, ""): {"StateChanges": None, "SystemEvents": None, "Instances": ([FUNCTION], {
        ("ecs:GetInstanceConsoleOutput", INSTANCE): True, ("ecs:GetInstanceScreenshot", INSTANCE): True, ("ecs:DescribeRegions", "*"): True, ("oss:PutObject", CONSOLE): False,
    })},
    (OTHER_ACCOUNT, "cn-beijing", ""): {"StateChanges": None, "SystemEvents": None},
    # Those of a stack group that reaches the function's account.
    (ACCOUNT, REGION, ""): {},
    (ACCOUNT, "cn-beijing", ""): {},
}
STRANGERS = [
    ("Service", "eventbridge.aliyuncs.com"), ("Service", f"{OTHER_ACCOUNT[:-1]}@eventbridge.aliyuncs.com"),
    ("RAM", f"acs:ram::{ACCOUNT}:root"), ("RAM", f"acs:ram::{ACCOUNT}:role/others"),
    ("RAM", f"acs:ram::{OTHER_ACCOUNT}:role/ecs-console-archiver"),
]


def account_problems(document):
    """In what a stack of accounts.yaml has other resources than it should, or lets others in, or does more."""
    for (account, region, bucket), expected in ACCOUNTS.items():
        known = {"ALIYUN::TenantId": account, "ALIYUN::Region": region, "Account": ACCOUNT, "RegionId": REGION,
                 "Bucket": bucket, "Members": f"1111111111111111,{OTHER_ACCOUNT}"}
        resolver = templates.Resolver(document, known)
        found = {name: resolver.value(one["Properties"]) for name, one in document["Resources"].items()
                 if "Condition" not in one or resolver.condition(one["Condition"])}
        where = f"accounts.yaml in {account}, {region}:"
        if found.keys() != expected.keys():
            yield f"{where} has {sorted(found)}"
            continue
        for name, role in ((name, role) for name, role in expected.items() if role):
            trusted, does = role
            trust = found[name]["AssumeRolePolicyDocument"]
            for who in {*trusted, *STRANGERS, FUNCTION, SENDER}:
                may = ram.decision([trust], who, "sts:AssumeRole", "", {}) is True
                if may != (who in trusted):
                    yield f"{where} {who} {'may' if may else 'may not'} assume {name}"
            policies = [one["PolicyDocument"] for one in found[name].get("Policies", [])]
            asked = does | {(action, resource): False for action in DANGEROUS for resource in (
                INSTANCE, CONSOLE, f"acs:ram::{account}:role/others") if (action, resource) not in does}
            for (action, resource), expected_answer in asked.items():
                # RAM has no narrower resource for a listing, so it may be of anything.
                answer = ram.decision(policies, FUNCTION, action, resource.format(account=account), {}) is True
                if answer != expected_answer:
                    yield f"{where} {name}: {action} on {resource} is {'allowed' if answer else 'denied'}"
            system = found[name].get("PolicyAttachments", {}).get("System", [])
            if system != (["AliyunEventBridgePutEventsPolicy"] if name == "Senders" else []):
                yield f"{where} {name} has the system policies {system}"
        for name in ("StateChanges", "SystemEvents"):
            for target in found.get(name, {}).get("Targets", []):
                # The sample of the page "Event target parameters" for another account.
                given = {one["ResourceKey"]: one["Value"] for one in target["ParamList"] if one["Form"] == "CONSTANT"}
                wanted = {"RegionId": REGION, "AccountType": "AnotherAccount", "AccountId": ACCOUNT,
                          "EventBusName": "ecs-console-archiver", "RAMRoleName": "ecs-console-archiver-senders"}
                endpoint = f"acs:eventbridge:{REGION}:{ACCOUNT}:eventbus/ecs-console-archiver"
                if (given, target["Endpoint"], target["Type"]) != (wanted, endpoint, "acs.eventbridge"):
                    yield f"{where} {name} sends events to {target['Endpoint']} with {given}"


# What is changed in accounts.yaml, what with, and what must be said.
ACCOUNT_MISTAKES = [
    ("${Account}:role/${Name}", "${Account}:role/${Name}-2", "may not assume Instances"),
    ("${Services}@eventbridge", "eventbridge", "may assume Senders"),
    ("oss:PutObject", "oss:*", "oss:DeleteObject"),
    ("Condition: HasRole", "Condition: IsOther", "has ["),
    ("${Name}-senders", "${Name}-sender", "sends events to"),
]


def check_accounts(path):
    yield from account_problems(templates.load(path))
    text = pathlib.Path(path).read_text()
    for old, new, message in ACCOUNT_MISTAKES:
        changed = templates.yaml.load(text.replace(old, new), templates.Loader)
        if old not in text or not any(message in problem for problem in account_problems(changed)):
            yield f"{path}: {new} in place of {old} is not noticed"


# What is changed in the policies of a deployment of infra/alibaba, what with, and what must be said.
MISTAKES = [
    ("alicloud_ram_policy.archiver", "policy_document", '"oss:PutObject"', '["oss:PutObject","oss:DeleteObject"]',
     "the function: oss:DeleteObject"),
    ("alicloud_ram_policy.archiver", "policy_document", "/console/*", "/*", "the function: oss:PutObject"),
    ("alicloud_ram_policy.archiver", "policy_document", ":instance/*", ":instance/i-1", "the function: ecs:GetInstanceConsoleOutput"),
    ("alicloud_ram_policy.reader", "policy_document", "StringLike", "StringEquals", "readers: oss:ListObjects"),
    ("alicloud_ram_policy.redrive", "policy_document", "/failed/*", "/*", "who replays failed events: oss:DeleteObject"),
    ("alicloud_ram_policy.function_redrive", "policy_document", '["console/failed/*"]', '["console/*"]',
     "the function: oss:ListObjects"),
    ("alicloud_ram_policy.function_redrive", "policy_document", "/console/failed/*", "/console/*", "the function: oss:GetObject"),
    ("alicloud_ram_policy.function_compaction", "policy_document", '["console/catalog/*"]', '["console/*"]',
     "the function: oss:ListObjects"),
    ("alicloud_ram_policy.function_compaction", "policy_document", "/console/catalog/*", "/console/*", "the function: oss:DeleteObject"),
    ("alicloud_ram_policy.function_notices", "policy_document", '["console/notices/*"]', '["console/*"]',
     "the function: oss:ListObjects"),
    ("alicloud_ram_policy.function_notices", "policy_document", "/console/notices/*", "/console/*", "the function: oss:GetObject"),
    ("alicloud_oss_bucket_policy.archive", "policy", '["false"]', '["true"]', "an administrator: oss:GetObject"),
    ("alicloud_ram_role.archiver", "assume_role_policy_document", "fc.aliyuncs.com", "ecs.aliyuncs.com",
     "Function Compute: sts:AssumeRole"),
]


def check_mistakes(deployments, rows):
    for address, name, old, new, message in MISTAKES:
        # Not every deployment has what is changed: a redrive, for example.
        having = ((one, key) for one in deployments for key in one.resources if re.sub(r"\[.*", "", key) == address)
        deployment, key = next(having, (None, None))
        if deployment is None or old not in deployment.resources[key][name]:
            yield f"{address} has no {old}"
            continue
        changed = copy.deepcopy(deployment)
        changed.resources[key][name] = changed.resources[key][name].replace(old, new)
        if not any(problem.startswith(message) for problem in check(changed, rows)[0]):
            yield f"{new} in place of {old} in {address} is not noticed"
    for row, (who, action, _, conditions) in enumerate(rows):
        needed = re.findall(r"with `(\w+)`", "; ".join(conditions))
        deployment = next(one for one in deployments if all(map(one.is_set, needed)))
        if not any(problem.startswith(f"{who}: {action}") for problem in check(deployment, rows[:row] + rows[row + 1 :])[0]):
            yield f"without {who}: {action}, nothing is noticed"


def main():
    applied, template, accounts, page, aws_page = sys.argv[1:]
    document, problems, lines = templates.load(template), [], []
    problems += check_accounts(accounts)
    lines.append(f"{accounts}: the roles of {len(ACCOUNTS)} stacks are trusted and allowed as they should; "
                 f"{len(ACCOUNT_MISTAKES)} mistakes are noticed")
    tables = {"alibaba": (page, pages.permissions(page)),
              "push": (aws_page, [row for row in pages.permissions(aws_page) if row[0].endswith(ON_ALIBABA)])}
    for module, (source, rows) in tables.items():
        asked, compared, mistaken = 0, 0, 0
        files = sorted(pathlib.Path(applied).glob(f"{module}-*.json"))
        if not rows or not files:
            sys.exit(f"{source} has no permissions, or infra/{module} was not applied")
        for file in files:
            deployment = Deployment(module, file)
            found, count = check(deployment, rows)
            problems += [f"{source}: {problem}" for problem in found]
            problems += uncovered(deployment)
            asked += count
            if module == "alibaba":
                ours, theirs = module_statements(deployment), ros_statements(document, deployment)
                for name in sorted(ours.keys() | theirs.keys()):
                    for one in sorted(map(str, ours.get(name, set()) ^ theirs.get(name, set()))):
                        problems.append(f"{name}: in one only of main.tf and ros.yaml: {one}")
                    compared += len(ours.get(name, ()))
        if module == "alibaba":
            deployments = [Deployment(module, file) for file in files]
            plain = [one for one in deployments if one.bucket_policy() and not one.is_set("account_role_arn")]
            problems += commands_differ(page, plain[0])
            problems += options_differ(page, deployments)
            problems += check_mistakes(deployments, rows)
            mistaken = len(MISTAKES)
        lines.append(f"{source}: {len(rows)} permissions, {asked} requests in {len(files)} deployments of infra/{module} are "
                     f"allowed and denied as it says" + (f"; {compared} statements are the same in main.tf and ros.yaml, and "
                     f"in the page's commands; {mistaken} mistakes in policies are noticed" if compared else ""))
    for problem in dict.fromkeys(problems):
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)
    print("\n".join(lines))


main()
