"""What the clouds answer when resources are created: names, ARNs and IDs in the clouds' own forms."""

import hashlib
import os
import uuid

from tf.types import Unknown

AWS_ACCOUNT = "123456789012"
ALIBABA_ACCOUNT = "1234567890123456"


class Refused(Exception):
    """What the real provider or its cloud refuses."""


def token(*words, alphabet="0123456789abcdef", length=8):
    """A word that is always the same for the same words, as long and in the letters that are asked for."""
    digest = hashlib.sha256("/".join(map(str, words)).encode()).digest()
    return "".join(alphabet[byte % len(alphabet)] for byte in digest[:length])


def is_known(value):
    return value is not None and value is not Unknown


def empty(kind):
    """A value of a type, for what nothing here refers to."""
    if isinstance(kind, str):
        return {"string": "", "number": 0, "bool": False}[kind]
    return {} if kind[0] == "map" else []


class Cloud:
    # Kind → attribute → its value, with the resource's own attributes in braces.
    VALUES = {}
    # Kind → attributes that cannot change: the resource is replaced.
    FIXED = {}
    # (Kind, attribute) → the longest value that the provider takes, in characters.
    LONGEST = {}

    def configure(self, config):
        self.region = config.get("region") or self.region_of_environment()
        if not self.region:
            raise Refused("there is no region")

    def validate(self, kind, config):
        for name, value in config.items():
            longest = self.LONGEST.get((kind, name))
            if longest and isinstance(value, str) and len(value) > longest:
                raise Refused(f"{kind}.{name} has {len(value)} characters, and may have {longest}: {value}")

    def is_fixed(self, kind, name):
        return name in self.FIXED.get(kind, ())

    def plan(self, kind, block, planned):
        return planned

    def create(self, kind, block, planned):
        return self.filled(kind, block, planned)

    def filled(self, kind, block, planned):
        new = dict(planned)
        templates = self.VALUES.get(kind, {})
        # First what is made of the attributes that are known, and last what is made of these.
        for name, template in templates.items():
            if new.get(name) is Unknown:
                new[name] = self.format(template, kind, new)
        for name, one in block["attributes"].items():
            if new.get(name) is Unknown:
                new[name] = self.default(kind, name, one["type"], new)
        for name, one in block["blocks"].items():
            inner = new.get(name)
            if isinstance(inner, dict):
                new[name] = self.filled("", one["block"], inner)
            elif isinstance(inner, list):
                new[name] = [self.filled("", one["block"], item) for item in inner]
        return new

    def format(self, template, kind, values):
        words = {name: value for name, value in values.items() if is_known(value)}
        words |= {"account": self.ACCOUNT, "at_region": self.region}
        words["uuid"] = str(uuid.UUID(token(kind, sorted(map(str, words.items())), length=32)))
        words["token"] = token(kind, words["uuid"], alphabet="abcdefghijklmnopqrstuvwxyz0123456789", length=32)
        return template.format(**words)

    def default(self, kind, name, type_, values):
        if type_ == "string" and name == "id":
            # What belongs to a bucket has the bucket's ID.
            return self.format("{bucket}" if is_known(values.get("bucket")) else "{uuid}", kind, values)
        return empty(type_)


class Aws(Cloud):
    ACCOUNT = AWS_ACCOUNT
    VALUES = {
        "aws_cloudwatch_log_group": {
            "arn": "arn:aws:logs:{at_region}:{account}:log-group:{name}", "id": "{name}",
        },
        "aws_cloudwatch_metric_alarm": {
            "arn": "arn:aws:cloudwatch:{at_region}:{account}:alarm:{alarm_name}", "id": "{alarm_name}",
        },
        "aws_glue_catalog_database": {
            "catalog_id": "{account}",
            "arn": "arn:aws:glue:{at_region}:{account}:database/{name}", "id": "{account}:{name}",
        },
        "aws_glue_catalog_table": {
            "catalog_id": "{account}",
            "arn": "arn:aws:glue:{at_region}:{account}:table/{database_name}/{name}",
            "id": "{account}:{database_name}:{name}",
        },
        "aws_iam_policy": {
            "arn": "arn:aws:iam::{account}:policy{path}{name}",
            "id": "arn:aws:iam::{account}:policy{path}{name}", "policy_id": "ANPA{token:.17}",
        },
        "aws_iam_role": {
            "arn": "arn:aws:iam::{account}:role{path}{name}", "id": "{name}",
            "create_date": "2026-01-01T00:00:00Z", "unique_id": "AROA{token:.17}",
        },
        "aws_iam_role_policy": {"id": "{role}:{name}"},
        "aws_lambda_event_source_mapping": {
            "uuid": "{uuid}", "id": "{uuid}",
            "arn": "arn:aws:lambda:{at_region}:{account}:event-source-mapping:{uuid}",
            "function_arn": "{function_name}", "state": "Enabled",
        },
        "aws_lambda_function": {
            "arn": "arn:aws:lambda:{at_region}:{account}:function:{function_name}",
            "id": "{function_name}", "version": "$LATEST",
            "qualified_arn": "arn:aws:lambda:{at_region}:{account}:function:{function_name}:$LATEST",
            "invoke_arn": "arn:aws:apigateway:{at_region}:lambda:path/2015-03-31/functions/"
                          "arn:aws:lambda:{at_region}:{account}:function:{function_name}/invocations",
        },
        "aws_lambda_function_event_invoke_config": {"id": "{function_name}"},
        "aws_lambda_function_url": {
            "function_arn": "arn:aws:lambda:{at_region}:{account}:function:{function_name}",
            "function_url": "https://{token}.lambda-url.{at_region}.on.aws/",
            "url_id": "{token}", "id": "{function_name}",
        },
        "aws_lambda_permission": {"id": "{statement_id}"},
        "aws_s3_bucket": {
            # As long as the provider makes it: 26 digits after the prefix.
            "bucket": "{bucket_prefix}20260101000000000000000001",
            "arn": "arn:aws:s3:::{bucket}", "id": "{bucket}", "bucket_region": "{at_region}",
            "bucket_domain_name": "{bucket}.s3.amazonaws.com",
            "bucket_regional_domain_name": "{bucket}.s3.{at_region}.amazonaws.com",
            "hosted_zone_id": "Z3AQBSTGFYJSTF",
        },
        "aws_scheduler_schedule": {
            "group_name": "default", "id": "default/{name}",
            "arn": "arn:aws:scheduler:{at_region}:{account}:schedule/default/{name}",
        },
        "aws_sns_topic": {
            "arn": "arn:aws:sns:{at_region}:{account}:{name}", "id": "arn:aws:sns:{at_region}:{account}:{name}",
            "owner": "{account}",
        },
        "aws_sqs_queue": {
            "arn": "arn:aws:sqs:{at_region}:{account}:{name}",
            "url": "https://sqs.{at_region}.amazonaws.com/{account}/{name}",
            "id": "https://sqs.{at_region}.amazonaws.com/{account}/{name}",
        },
    }
    FIXED = {
        "aws_cloudwatch_log_group": {"name", "log_group_class"},
        "aws_cloudwatch_metric_alarm": {"alarm_name"},
        "aws_glue_catalog_database": {"name"},
        "aws_glue_catalog_table": {"name", "database_name"},
        "aws_iam_policy": {"name", "path", "description"},
        "aws_iam_role": {"name", "path"},
        "aws_iam_role_policy": {"name", "role"},
        "aws_lambda_event_source_mapping": {"event_source_arn"},
        "aws_lambda_function": {"function_name"},
        "aws_lambda_function_event_invoke_config": {"function_name"},
        "aws_lambda_function_url": {"function_name"},
        "aws_lambda_permission": {
            "action", "function_name", "function_url_auth_type", "invoked_via_function_url", "principal",
            "source_account", "source_arn", "statement_id",
        },
        "aws_s3_bucket": {"bucket", "bucket_prefix", "object_lock_enabled"},
        "aws_scheduler_schedule": {"name", "group_name"},
        "aws_sns_topic": {"name"},
        "aws_sqs_queue": {"name"},
    }
    # The limits of the services' API references, CreateBucket and so on. The prefix leaves room for 26 digits.
    LONGEST = {
        ("aws_cloudwatch_log_group", "name"): 512,
        ("aws_cloudwatch_metric_alarm", "alarm_name"): 255,
        ("aws_iam_policy", "name"): 128,
        ("aws_iam_role", "name"): 64,
        ("aws_iam_role", "description"): 1000,
        ("aws_iam_role_policy", "name"): 128,
        ("aws_lambda_function", "description"): 256,
        ("aws_lambda_function", "function_name"): 64,
        ("aws_s3_bucket", "bucket"): 63,
        ("aws_s3_bucket", "bucket_prefix"): 37,
        ("aws_scheduler_schedule", "name"): 64,
        ("aws_scheduler_schedule", "description"): 512,
        ("aws_sns_topic", "name"): 256,
        ("aws_sqs_queue", "name"): 80,
    }

    def region_of_environment(self):
        return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")

    def configure(self, config):
        super().configure(config)
        blocks = config.get("default_tags") or []
        self.tags = (blocks[0].get("tags") or {}) if blocks else {}

    def plan(self, kind, block, planned):
        """What the provider itself knows before a call: the region, and the tags with its own."""
        attributes = block["attributes"]
        if "region" in attributes and planned.get("region") is Unknown:
            planned["region"] = self.region
        if "tags_all" in attributes:
            tags = planned.get("tags")
            planned["tags_all"] = Unknown if tags is Unknown else {**self.tags, **(tags or {})}
        return planned

    def format(self, template, kind, values):
        return super().format(template, kind, {**values, "path": values.get("path") or "/"})

    def read(self, kind, block, config):
        known = {
            "aws_caller_identity": {
                "account_id": AWS_ACCOUNT, "id": AWS_ACCOUNT, "user_id": "AIDACKCEVSQ6C2EXAMPLE",
                "arn": f"arn:aws:iam::{AWS_ACCOUNT}:user/deployer",
            },
            "aws_partition": {
                "partition": "aws", "id": "aws", "dns_suffix": "amazonaws.com",
                "reverse_dns_prefix": "com.amazonaws",
            },
            "aws_region": {
                "region": self.region, "name": self.region, "id": self.region, "description": "A region",
                "endpoint": f"ec2.{self.region}.amazonaws.com",
            },
        }
        if kind not in known:
            raise Refused(f"data.{kind}: add what the cloud answers to tests/infra/provider/cloud.py")
        return {**config, **known[kind]}


class Alicloud(Cloud):
    ACCOUNT = ALIBABA_ACCOUNT
    VALUES = {
        "alicloud_cms_alarm": {"id": "{uuid}", "status": "OK"},
        "alicloud_event_bridge_event_bus": {"id": "{event_bus_name}"},
        "alicloud_event_bridge_rule": {"id": "{event_bus_name}:{rule_name}", "status": "ENABLE"},
        "alicloud_fcv3_async_invoke_config": {
            "function_arn": "acs:fc:{at_region}:{account}:functions/{function_name}", "id": "{function_name}",
        },
        "alicloud_fcv3_function": {
            "function_arn": "acs:fc:{at_region}:{account}:functions/{function_name}",
            "function_id": "{uuid}", "id": "{function_name}", "state": "Active",
        },
        "alicloud_fcv3_trigger": {"id": "{function_name}:{trigger_name}", "trigger_id": "{uuid}"},
        "alicloud_ims_oidc_provider": {
            "arn": "acs:ram::{account}:oidc-provider/{oidc_provider_name}", "id": "{oidc_provider_name}",
        },
        "alicloud_log_project": {"name": "{project_name}", "id": "{project_name}", "status": "Normal"},
        "alicloud_log_store": {
            "name": "{logstore_name}", "project": "{project_name}", "id": "{project_name}:{logstore_name}",
        },
        "alicloud_log_store_index": {"id": "{project}:{logstore}"},
        "alicloud_oss_bucket": {
            "id": "{bucket}", "location": "oss-{at_region}", "owner": "{account}",
            "extranet_endpoint": "oss-{at_region}.aliyuncs.com",
            "intranet_endpoint": "oss-{at_region}-internal.aliyuncs.com",
        },
        "alicloud_oss_bucket_policy": {"id": "{bucket}"},
        "alicloud_oss_bucket_public_access_block": {"id": "{bucket}"},
        "alicloud_ram_policy": {
            "name": "{policy_name}", "document": "{policy_document}", "id": "{policy_name}", "type": "Custom",
            "default_version": "v1", "version_id": "v1",
        },
        "alicloud_ram_role": {
            "name": "{role_name}", "document": "{assume_role_policy_document}", "id": "{role_name}",
            "arn": "acs:ram::{account}:role/{role_name}", "role_id": "3{token:.17}",
        },
        "alicloud_ram_role_policy_attachment": {"id": "role:{policy_name}:{policy_type}:{role_name}"},
    }
    FIXED = {
        "alicloud_event_bridge_event_bus": {"event_bus_name"},
        "alicloud_event_bridge_rule": {"event_bus_name", "rule_name"},
        "alicloud_fcv3_async_invoke_config": {"function_name", "qualifier"},
        "alicloud_fcv3_function": {"function_name"},
        "alicloud_fcv3_trigger": {"function_name", "trigger_name", "trigger_type"},
        "alicloud_ims_oidc_provider": {"oidc_provider_name", "issuer_url"},
        "alicloud_log_project": {"project_name"},
        "alicloud_log_store": {"project_name", "logstore_name"},
        "alicloud_log_store_index": {"project", "logstore"},
        "alicloud_oss_bucket": {"bucket", "redundancy_type"},
        "alicloud_oss_bucket_policy": {"bucket"},
        "alicloud_oss_bucket_public_access_block": {"bucket"},
        "alicloud_ram_policy": {"policy_name", "description"},
        "alicloud_ram_role": {"role_name"},
        "alicloud_ram_role_policy_attachment": {"policy_name", "policy_type", "role_name"},
    }
    LONGEST = {
        ("alicloud_fcv3_function", "function_name"): 64,
        ("alicloud_log_project", "project_name"): 63,
        ("alicloud_oss_bucket", "bucket"): 63,
        ("alicloud_ram_policy", "policy_name"): 128,
        ("alicloud_ram_role", "role_name"): 64,
    }

    def region_of_environment(self):
        # Without one, the provider takes this one.
        return os.environ.get("ALIBABA_CLOUD_REGION") or os.environ.get("ALICLOUD_REGION") or "cn-beijing"

    def read(self, kind, block, config):
        if kind == "alicloud_account":
            return {**config, "id": ALIBABA_ACCOUNT}
        if kind == "alicloud_regions":
            if not config.get("current"):
                raise Refused("alicloud_regions is answered here only for the current region")
            region = {"id": self.region, "region_id": self.region, "local_name": "A region"}
            names = {"name": self.region, "id": self.region, "ids": [self.region]}
            return {**config, **names, "regions": [region]}
        raise Refused(f"data.{kind}: add what the cloud answers to tests/infra/provider/cloud.py")


CLOUDS = {"aws": Aws, "alicloud": Alicloud}
