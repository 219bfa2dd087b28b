"""Serves invocations of Lambda's Runtime API with a handler.

usage: python runtime.py MODULE.FUNCTION

A plain loop. AWS's own runtime for Python does the same and more, so this one favours the peer.
Source: "Using the Lambda runtime API for custom runtimes".
"""

import http.client
import importlib
import json
import os
import sys

module, function = sys.argv[1].split(".")
handler = getattr(importlib.import_module(module), function)
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
path = "/2018-06-01/runtime/invocation/"

while True:
    api.request("GET", path + "next")
    invocation = api.getresponse()
    event = json.loads(invocation.read())
    request_id = invocation.headers["lambda-runtime-aws-request-id"]
    try:
        kind, answer = "response", handler(event, None)
    except Exception as error:
        kind, answer = "error", {"errorType": type(error).__name__, "errorMessage": str(error)}
    api.request("POST", f"{path}{request_id}/{kind}", json.dumps(answer))
    api.getresponse().read()
