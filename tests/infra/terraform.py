#!/usr/bin/env python3
"""Holds Terraform modules to the schemas of their providers, and to themselves.

usage: hcl.mjs TOOLS FILE... | terraform.py PACKAGES

PACKAGES is the folder of the providers' Pulumi bindings, which are generated from their schemas: a
file for each resource and data source, with its arguments and its attributes, in the plural where
they are lists. The files of one folder are one Terraform module.
"""

import ast
import functools
import json
import pathlib
import re
import sys

# Kind → file of the binding.
KINDS = {
    "alicloud_cms_alarm": "alicloud/cms/alarm.py",
    "alicloud_event_bridge_rule": "alicloud/eventbridge/rule.py",
    "alicloud_fcv3_async_invoke_config": "alicloud/fc/v3_async_invoke_config.py",
    "alicloud_fcv3_function": "alicloud/fc/v3_function.py",
    "alicloud_fcv3_trigger": "alicloud/fc/v3_trigger.py",
    "alicloud_ims_oidc_provider": "alicloud/ims/oidc_provider.py",
    "alicloud_log_project": "alicloud/log/project.py",
    "alicloud_log_store": "alicloud/log/store.py",
    "alicloud_log_store_index": "alicloud/log/store_index.py",
    "alicloud_oss_bucket": "alicloud/oss/bucket.py",
    "alicloud_oss_bucket_policy": "alicloud/oss/bucket_policy.py",
    "alicloud_oss_bucket_public_access_block": "alicloud/oss/bucket_public_access_block.py",
    "alicloud_ram_policy": "alicloud/ram/policy.py",
    "alicloud_ram_role": "alicloud/ram/role.py",
    "alicloud_ram_role_policy_attachment": "alicloud/ram/role_policy_attachment.py",
    "aws_cloudwatch_log_group": "aws/cloudwatch/log_group.py",
    "aws_cloudwatch_metric_alarm": "aws/cloudwatch/metric_alarm.py",
    "aws_glue_catalog_database": "aws/glue/catalog_database.py",
    "aws_glue_catalog_table": "aws/glue/catalog_table.py",
    "aws_iam_policy": "aws/iam/policy.py",
    "aws_iam_role": "aws/iam/role.py",
    "aws_iam_role_policy": "aws/iam/role_policy.py",
    "aws_lambda_event_source_mapping": "aws/lambda_/event_source_mapping.py",
    "aws_lambda_function": "aws/lambda_/function.py",
    "aws_lambda_function_event_invoke_config": "aws/lambda_/function_event_invoke_config.py",
    "aws_lambda_function_url": "aws/lambda_/function_url.py",
    "aws_lambda_permission": "aws/lambda_/permission.py",
    "aws_s3_bucket": "aws/s3/bucket.py",
    "aws_s3_bucket_lifecycle_configuration": "aws/s3/bucket_lifecycle_configuration.py",
    "aws_s3_bucket_object_lock_configuration": "aws/s3/bucket_object_lock_configuration.py",
    "aws_s3_bucket_ownership_controls": "aws/s3/bucket_ownership_controls.py",
    "aws_s3_bucket_policy": "aws/s3/bucket_policy.py",
    "aws_s3_bucket_public_access_block": "aws/s3/bucket_public_access_block.py",
    "aws_s3_bucket_server_side_encryption_configuration":
        "aws/s3/bucket_server_side_encryption_configuration.py",
    "aws_s3_bucket_versioning": "aws/s3/bucket_versioning.py",
    "aws_scheduler_schedule": "aws/scheduler/schedule.py",
    "aws_sqs_queue": "aws/sqs/queue.py",
    "data.alicloud_account": "alicloud/get_account.py",
    "data.alicloud_regions": "alicloud/get_regions.py",
    "data.aws_caller_identity": "aws/get_caller_identity.py",
    "data.aws_region": "aws/get_region.py",
}
# What the bindings call otherwise.
RENAMED = {
    "aws_cloudwatch_metric_alarm.alarm_name": "name",
    "aws_lambda_function.filename": "code",
    "aws_lambda_function.function_name": "name",
    "aws_lambda_permission.function_name": "function",
}
# Terraform's own, in every resource.
META = {"count", "for_each", "depends_on", "provider", "lifecycle"}
# Terraform's own, in its own blocks; a variable must have the first two.
VARIABLE = ["description", "type", "default", "nullable", "sensitive", "validation"]
OUTPUT = ["value", "description", "sensitive"]
CONDITION = ["condition", "error_message"]
LIFECYCLE = ["precondition", "postcondition", "prevent_destroy", "ignore_changes"]
# Terraform has more; these are in use here.
FUNCTIONS = set(
    "alltrue can coalesce compact concat contains filebase64 filebase64sha256 floor jsonencode"
    " length merge nonsensitive one regex replace tostring trimsuffix".split()
)
LITERALS = {"bool": bool, "int": int, "float": (int, float)}


@functools.lru_cache(None)
def classes(path):
    """Name → functions of each class of a file; those outside of classes are under ""."""
    body = ast.parse(path.read_text()).body
    found = {"": [node for node in body if isinstance(node, ast.FunctionDef)]}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = [inner for inner in node.body if isinstance(inner, ast.FunctionDef)]
    return found


def parameters(functions, name="__init__"):
    """Name → (type, is required) of the parameters of the function of that name."""
    arguments = next(function.args for function in functions if function.name == name)
    names = arguments.args + arguments.kwonlyargs
    defaults = arguments.defaults + arguments.kw_defaults
    defaults = [None] * (len(names) - len(defaults)) + defaults
    return {
        argument.arg.rstrip("_"): (ast.unparse(argument.annotation), default is None)
        for argument, default in zip(names, defaults)
        if argument.annotation and argument.arg != "opts"
    }


def arguments_of(path):
    for name, functions in classes(path).items():
        if name.endswith("Args") and not name.startswith("_"):
            return parameters(functions)
    return parameters(classes(path)[""], path.stem)


def attributes_of(path):
    """Attributes of the file's resource, or of what its data source answers."""
    name, functions = next(
        (name, functions)
        for name, functions in classes(path).items()
        if name and not re.search("Args$|ArgsDict$|State$|^_", name)
    )
    return {function.name for function in functions} | {"id"}


def own_name(kind, name, names):
    name = RENAMED.get(f"{kind}.{name}", name)
    plurals = [name, f"{name}s", re.sub("y$", "ies", name)]
    return next((plural for plural in plurals if plural in names), None)


def blocks(value):
    """What is in an argument that may be a block: the parser makes a list of objects of both."""
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    return []


def check_literal(where, value, kind):
    name = next((name for name in LITERALS if re.search(rf"\b{name}\b", kind)), None)
    if name is None or isinstance(value, str) and "${" in value:
        return []
    is_right = isinstance(value, LITERALS[name])
    if name != "bool" and isinstance(value, bool):
        is_right = False
    return [] if is_right else [f"{where} is no {name}"]


def check_arguments(where, kind, body, known, inputs, source):
    problems, given = [], set()
    body = dict(body)
    for name, generators in body.pop("dynamic", {}).items():
        body[name] = [block for generator in generators for block in generator["content"]]
    for name, value in body.items():
        own = own_name(kind, name, known)
        if own is None:
            problems.append(f"{where} has no argument {name}")
            continue
        given.add(own)
        here, (wanted, _) = f"{where}.{name}", known[own]
        is_assigned = re.search(rf"^\s+{name}\s+=", source, re.MULTILINE)
        nested = "Union[" not in wanted and re.search(r"'(\w+Args)'", wanted)
        if not nested:
            if blocks(value) and not is_assigned:
                problems.append(f"{here} is an argument, not a block")
            elif "Sequence" not in wanted and "Mapping" not in wanted:
                problems += check_literal(here, value, wanted)
        elif is_assigned or not blocks(value):
            problems.append(f"{here} is a block, not an argument")
        else:
            if "Sequence" not in wanted and len(value) > 1:
                problems.append(f"{here} is there more than once")
            inner = parameters(classes(inputs)[nested[1]])
            for block in value:
                problems += check_arguments(here, "", block, inner, inputs, source)
    missing = {name for name, (_, is_required) in known.items() if is_required} - given
    return problems + [f"{where} lacks the argument {name}" for name in sorted(missing)]


def check_keys(where, body, known, required=()):
    problems = [f"{where} has no argument {name}" for name in body if name not in known]
    return problems + [f"{where} lacks the argument {name}" for name in required if name not in body]


def check_conditions(where, body, names):
    return [
        problem
        for name in names
        for block in body.get(name, [])
        for problem in check_keys(f"{where}.{name}", block, CONDITION, CONDITION)
    ]


def expressions(value):
    if isinstance(value, str):
        return re.findall(r"\$\{.*", value, re.DOTALL)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [found for item in inner for found in expressions(item)]


def check_reference(reference, declared, packages):
    parts = reference.split(".")
    if parts[0] in ("path", "each", "count", "self", "terraform"):
        return []
    depth = {"var": 2, "local": 2, "data": 3}.get(parts[0], 2)
    target, rest = ".".join(parts[:depth]), parts[depth:]
    if target not in declared:
        return [f"{reference}: {target} is not declared"]
    if parts[0] in ("var", "local"):
        return []
    is_counted = bool({"count", "for_each"} & declared[target].keys())
    is_indexed = bool(rest) and (rest[0] == "*" or rest[0].isdigit() or rest[0].startswith('"'))
    if is_indexed != is_counted and (rest[1:] if is_indexed else rest):
        return [f"{reference}: {target} is {'many' if is_counted else 'one'}"]
    rest = rest[1:] if is_indexed else rest
    kind = target.rsplit(".", 1)[0]
    if rest and kind in KINDS and not own_name(kind, rest[0], attributes_of(packages / f"pulumi_{KINDS[kind]}")):
        return [f"{reference}: {kind} has no attribute {rest[0]}"]
    return []


def merged(files, section):
    """Name → body of all blocks of one section with one label."""
    return {
        name: body
        for file in files
        for name, bodies in file["document"].get(section, {}).items()
        for body in bodies
    }


EACH = r"each\.value\.(\w+)"


def is_map_of_maps(value):
    return isinstance(value, dict) and all(isinstance(inner, dict) for inner in value.values())


def filled(value, element):
    """A part of a resource, with an element's attributes in place of each.value's."""
    if isinstance(value, dict):
        return {name: filled(inner, element) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, element) for inner in value]
    if not isinstance(value, str):
        return value
    whole = re.fullmatch(rf"\$\{{{EACH}\}}", value)
    if whole and whole[1] in element:
        return element[whole[1]]
    return re.sub(EACH, lambda found: str(element.get(found[1], found[0])), value)


def instances(body, maps):
    """A resource as it is for each element of the local map of objects it is made for, if any."""
    named = re.findall(r"\blocal\.(\w+)", str(body.get("for_each")))
    elements = [element for name in named for element in maps.get(name, {}).values()]
    return [filled(body, element) for element in elements] or [body]


def check_module(folder, files, packages):
    problems, declared, bodies, maps = [], {}, {}, {}
    for file in files:
        for section, prefix in (("resource", ""), ("data", "data.")):
            for kind, named in file["document"].get(section, {}).items():
                for name, [body] in named.items():
                    declared[f"{prefix}{kind}.{name}"] = body
                    bodies[f"{prefix}{kind}.{name}"] = f"{prefix}{kind}", body
        for locals_ in file["document"].get("locals", []):
            declared.update((f"local.{name}", {}) for name in locals_)
            maps.update((name, value) for name, value in locals_.items() if is_map_of_maps(value))
    bodies.update((f"provider.{name}", (f"provider.{name}", body))
                  for name, body in merged(files, "provider").items())

    text = "\n".join(file["text"] for file in files)
    providers = {
        name
        for file in files
        for settings in file["document"].get("terraform", [])
        for required in settings.get("required_providers", [])
        for name in required
    }
    for address, (kind, body) in bodies.items():
        where = f"{folder}: {address}"
        if kind not in KINDS:
            problems.append(f"{where} is not in this script's list")
            continue
        if re.sub(r"^(data|provider)\.", "", kind).split("_")[0] not in providers:
            problems.append(f"{where} is of no required provider")
        for block in body.get("lifecycle", []):
            problems += check_keys(f"{where}.lifecycle", block, LIFECYCLE)
            problems += check_conditions(f"{where}.lifecycle", block, LIFECYCLE[:2])
        path = packages / f"pulumi_{KINDS[kind]}"
        labels = r'"\s+"'.join(re.sub(r"^(data|provider)\.", "", address).split("."))
        source = re.search(rf'^\w+\s+"{labels}"\s+{{(.*?\n)?}}$', text, re.DOTALL | re.MULTILINE)[1]
        known, inputs = arguments_of(path), path.parent / "_inputs.py"
        for instance in instances(body, maps):
            missing = re.findall(EACH, str(instance))
            problems += [f"{where} is for something without {name}" for name in missing]
            own = {name: value for name, value in instance.items() if name not in META}
            problems += check_arguments(where, kind, own, known, inputs, source or "")

    for name, body in merged(files, "variable").items():
        declared[f"var.{name}"] = {}
        problems += check_keys(f"{folder}: variable {name}", body, VARIABLE, VARIABLE[:2])
        problems += check_conditions(f"{folder}: variable {name}", body, ["validation"])
    for name, body in merged(files, "output").items():
        problems += check_keys(f"{folder}: output {name}", body, OUTPUT, OUTPUT[:1])

    # The iterators of dynamic blocks, whose names are the blocks'.
    declared.update((f"{name}.value", {}) for name in re.findall(r'\bdynamic "(\w+)"', text))

    used = [reference for file in files for reference in file["references"]]
    validated = [reference for file in files for reference in file["validated"]]
    # The parser ends a reference where it is to all of a resource's instances.
    used += [".*.".join(found) for found in re.findall(r"\b((?:data\.)?\w+\.\w+)\[\*\]\.(\w+)", text)]
    for reference in used + validated:
        found = check_reference(reference, declared, packages)
        problems += [f"{folder}: {problem}" for problem in found]
    for address in declared:
        is_used = any(f"{reference}.".startswith(f"{address}.") for reference in used)
        if not is_used and address.startswith(("var.", "local.", "data.")):
            problems.append(f"{folder}: {address} is not used")

    for file in files:
        for expression in expressions({**file["document"], "variable": {}}):
            for name in re.findall(r"\b([a-z]\w*)\(", expression):
                if name not in FUNCTIONS:
                    problems.append(f"{file['file']}: the function {name} is not in this script's list")
    return problems, len(bodies), sum(len(body) for _, body in bodies.values()), len(used)


def main():
    packages = pathlib.Path(sys.argv[1])
    modules = {}
    for file in json.load(sys.stdin):
        modules.setdefault(str(pathlib.Path(file["file"]).parent), []).append(file)
    problems = []
    for folder, files in modules.items():
        found, resources, arguments, references = check_module(folder, files, packages)
        problems += found
        print(f"{folder}: {resources} resources, {arguments} arguments, {references} references")
    for problem in dict.fromkeys(problems):
        print(problem, file=sys.stderr)
    if problems or not modules:
        sys.exit(1)


main()
