#!/usr/bin/env python3
"""Parses Terraform files and holds every resource and argument name to the provider's own.

usage: terraform.py PROVIDER_PACKAGE FILE...

PROVIDER_PACKAGE is the folder of the Pulumi binding of the provider, which is generated from its
schema: a class for each resource, a parameter for each argument, in the plural where it is a list.
"""

import ast
import pathlib
import re
import sys

import hcl2

# Resource → module of the binding. The rest of a resource's name is the class's.
RESOURCES = {
    "alicloud_fcv3_async_invoke_config": "fc/v3_async_invoke_config.py",
    "alicloud_fcv3_function": "fc/v3_function.py",
    "alicloud_fcv3_trigger": "fc/v3_trigger.py",
    "alicloud_oss_bucket": "oss/bucket.py",
    "alicloud_oss_bucket_public_access_block": "oss/bucket_public_access_block.py",
    "alicloud_ram_policy": "ram/policy.py",
    "alicloud_ram_role": "ram/role.py",
    "alicloud_ram_role_policy_attachment": "ram/role_policy_attachment.py",
}
# Terraform's own, in every resource.
META = {"count", "for_each", "depends_on", "provider", "lifecycle", "__is_block__", "__comments__"}


def parameters(path, wanted):
    """Parameter names of the constructors of the classes that `wanted` takes."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and wanted(node.name):
            for function in node.body:
                if isinstance(function, ast.FunctionDef) and function.name == "__init__":
                    arguments = function.args.args + function.args.kwonlyargs
                    names.update(argument.arg for argument in arguments)
    return names


def is_known(name, names):
    plurals = {name, f"{name}s", re.sub("y$", "ies", name)}
    return bool(plurals & names)


def blocks(value):
    """The objects in an attribute that is a block."""
    found = value if isinstance(value, list) else [value]
    return [item for item in found if isinstance(item, dict) and "__is_block__" in item]


def check(where, body, names, inner):
    problems = []
    for name, value in body.items():
        if name in META:
            continue
        if not is_known(name, names):
            problems.append(f"{where} has no argument {name}")
        for block in blocks(value):
            problems += check(f"{where}.{name}", block, inner, inner)
    return problems


def main():
    package = pathlib.Path(sys.argv[1])
    problems, arguments, resources = [], 0, 0
    for file in sys.argv[2:]:
        with open(file) as text:
            document = hcl2.load(text)
        for entry in document.get("resource", []):
            for kind, named in entry.items():
                kind = kind.strip('"')
                for name, body in named.items():
                    if name in META:
                        continue
                    where = f"{file}: {kind}.{name}"
                    if kind not in RESOURCES:
                        problems.append(f"{where} is not in this script's list")
                        continue
                    module = package / RESOURCES[kind]
                    own = parameters(module, lambda c: c.endswith("Args") and c[0] != "_")
                    inner = parameters(module.parent / "_inputs.py", lambda c: c.endswith("Args"))
                    problems += check(where, body, own, inner)
                    resources += 1
                    arguments += len(body)
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems or not resources:
        sys.exit(1)
    print(f"{resources} resources with {arguments} arguments are the provider's own")


main()
