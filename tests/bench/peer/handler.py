"""What one would write without this project: the console of an event's instance, from ECS to S3.

It uses the official SDKs as their examples do, and makes its clients once per process. It leaves out
all that the function does besides: triggers, retries of its own, metadata, markers, following.
"""

import base64
import gzip
import os
from urllib.parse import urlsplit

import boto3
from alibabacloud_ecs20140526 import models
from alibabacloud_ecs20140526.client import Client
from alibabacloud_tea_openapi.models import Config

endpoint = urlsplit(os.environ["ECS_ENDPOINT_URL"])
ecs = Client(
    Config(
        access_key_id=os.environ["ALIBABA_CLOUD_ACCESS_KEY_ID"],
        access_key_secret=os.environ["ALIBABA_CLOUD_ACCESS_KEY_SECRET"],
        security_token=os.environ["ALIBABA_CLOUD_SECURITY_TOKEN"],
        endpoint=endpoint.netloc,
        protocol=endpoint.scheme,
    )
)
s3 = boto3.client("s3")
archive = urlsplit(os.environ["ARCHIVE_URL"])


def handler(event, context):
    request = models.GetInstanceConsoleOutputRequest(
        region_id=event["region_id"], instance_id=event["instance_id"]
    )
    console = ecs.get_instance_console_output(request).body
    plain = base64.b64decode(console.console_output)
    time = console.last_update_time.replace(" ", "T")
    key = f"{archive.path.strip('/')}/{console.instance_id}/{time}.log.gz"
    s3.put_object(
        Bucket=archive.netloc,
        Key=key,
        # The level that the function uses. Python's own, 9, takes longer.
        Body=gzip.compress(plain, compresslevel=6),
        ContentType="application/gzip",
    )
    return {"outcome": "stored", "key": key}
