#!/usr/bin/env python3
"""Schemas of the two Terraform providers, from packages that are generated from them.

usage: schemas.py AWS_PACKAGE ALICLOUD_PACKAGE FILE.tf...

Prints JSON: provider → {"provider", "resources", "data"} → block. A block has its attributes, each with
its type as Terraform writes types in JSON and whether it is required, optional and computed, and its
nested blocks, each with how it nests, how often it may be there, and its own block. Only the kinds that
the files name are in it, because all would be hundreds of megabytes of source.

AWS_PACKAGE is the file of npm's @cdktn/provider-aws. Its generated classes say of each attribute
`name - computed: …, optional: …, required: …`, of which type it is, and what is a block: nothing is
guessed. ALICLOUD_PACKAGE is the folder of the Pulumi bindings, pulumi_alicloud. Nothing generated from
that provider with all of that is in a package registry. The bindings have the types, what is required
and what is computed, but call lists in the plural and hide how blocks nest. The rules and the table
below undo that.
"""

import ast
import functools
import json
import pathlib
import re
import sys
import tarfile

USED = r'^\s*(resource|data)\s+"((?:aws|alicloud)_\w+)"'


def attribute(kind, computed=False, optional=False, required=False):
    return {"type": kind, "computed": computed, "optional": optional, "required": required}


def nested(block, nesting="list", most=0, least=0):
    return {"block": block, "nesting": nesting, "max": most, "min": least}


def type_of(block):
    """The type of a block's value, for lists of objects that only the provider sets."""
    types = {name: one["type"] for name, one in block["attributes"].items()}
    for name, one in block["blocks"].items():
        types[name] = [one["nesting"], type_of(one["block"])]
    return ["object", types]


class Generated:
    """A file of @cdktn/provider-aws: one resource, data source or provider, and its blocks."""

    SCALARS = {"String": "string", "Number": "number", "Boolean": "bool"}
    GETTER = re.compile(r"get(String|Number|Boolean)(List|Map|)Attribute\('(\w+)'\)")
    FIELD = re.compile(r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=\n    // \w+ - computed|\n    // =|\Z)", re.S)
    WRITTEN = re.compile(r'(\w+): \{\s+value: .*\s+isBlock: (\w+),\s+type: "(\w+)",\s+storageClassType: "(\w+)",')

    def __init__(self, text):
        text = text.split("\n//# sourceMappingURL")[0]
        self.classes = dict(re.findall(r"^class (\w+) extends (.*?^)}", text, re.M | re.S))
        self.written = dict(re.findall(r"^function (\w+)ToHclTerraform\(struct\) \{(.*?^)}", text, re.M | re.S))
        [self.name] = [
            name for name, body in self.classes.items()
            if re.match(r"cdktn\.Terraform(Resource|DataSource|Provider)\b", body)
        ]
        self.kind = re.search(r'static tfResourceType = "(\w+)"', self.classes[self.name])[1]

    def block(self):
        body = self.classes[self.name]
        return self.fields(body, body)

    def fields(self, body, writer):
        # How an attribute is written says what the class's getter does not: sets, and what is a block.
        written = {name: (is_block == "true", kind) for name, is_block, kind, _ in self.WRITTEN.findall(writer)}
        block = {"attributes": {}, "blocks": {}}
        for name, *flags, code in self.FIELD.findall(body):
            computed, optional, required = (flag == "true" for flag in flags)
            is_block, kind = written.get(name, (False, None))
            inner = re.search(r"= new (\w+)(List|Map|OutputReference)\(this, \"\w+\"(?:, (\w+))?\)", code)
            if is_block:
                block["blocks"][name] = self.nested(inner, kind, required)
            else:
                is_set = kind == "set" or "Fn.tolist" in code or bool(inner) and inner[3] == "true"
                block["attributes"][name] = attribute(
                    self.type(name, code, inner, is_set), computed, optional, required)
        return block

    def inner(self, name):
        function = name[0].lower() + name[1:]
        return self.fields(self.classes[f"{name}OutputReference"], self.written.get(function, ""))

    def nested(self, inner, kind, required):
        _, name, form, _ = inner.group(0), *inner.groups()
        if kind == "struct":
            return nested(self.inner(name), "single", 1, int(required))
        return nested(self.inner(name), kind, int(form == "OutputReference"), int(required))

    def type(self, name, code, inner, is_set):
        many = "set" if is_set else "list"
        if inner and inner[1].startswith("cdktn."):
            raise ValueError(inner[0])
        if inner:
            own = type_of(self.inner(inner[1]))
            return {"OutputReference": own, "List": [many, own], "Map": ["map", own]}[inner[2]]
        library = re.search(r"= new cdktn\.(String|Number|Boolean)Map(List|)\(", code)
        if library:
            kind = ["map", self.SCALARS[library[1]]]
            return [many, kind] if library[2] else kind
        getter = self.GETTER.search(code)
        if getter:
            scalar = self.SCALARS[getter[1]]
            return {"": scalar, "List": [many, scalar], "Map": ["map", scalar]}[getter[2]]
        # Lists come as lists of text.
        if "getListAttribute" in code:
            return [many, "string"]
        # What only the provider's configuration has is kept as it is, and has no getter.
        return "dynamic"


class ProviderConfiguration(Generated):
    """The provider's own block. Its attributes are written, and have no getters."""

    def block(self):
        return self.written_fields(self.classes[self.name])

    def written_fields(self, writer):
        scalars = {"string": "string", "number": "number", "boolean": "bool"}
        block = {"attributes": {}, "blocks": {}}
        for name, is_block, kind, storage in self.WRITTEN.findall(writer):
            if name == "alias":  # Terraform's own.
                continue
            if is_block == "true":
                function = storage.removesuffix("List")
                function = function[0].lower() + function[1:]
                block["blocks"][name] = nested(self.written_fields(self.written[function]), kind)
            else:
                scalar = scalars[re.match("string|number|boolean", storage)[0]]
                block["attributes"][name] = attribute(
                    scalar if kind == "simple" else [kind, scalar], optional=True)
        return block


def aws(package, used):
    folders = {}
    for section, kind in used:
        words = kind.removeprefix("aws_").replace("_", "-")
        folders[("data-aws-" if section == "data" else "") + words] = section, kind
    found = {"provider": None, "resources": {}, "data": {}}
    with tarfile.open(package) as files:
        for member in files:
            part = re.fullmatch(r"package/lib/([\w-]+)/index\.js", member.name)
            if part and part[1] == "provider":
                text = files.extractfile(member).read().decode()
                found["provider"] = ProviderConfiguration(text).block()
            elif part and part[1] in folders:
                section, kind = folders[part[1]]
                generated = Generated(files.extractfile(member).read().decode())
                assert generated.kind == kind, (generated.kind, kind)
                found["data" if section == "data" else "resources"][kind] = generated.block()
    return found


# Kind → file of the binding, which does not say the kind.
BINDINGS = {
    "alicloud_cms_alarm": "cms/alarm.py",
    "alicloud_cms_alarm_contact": "cms/alarm_contact.py",
    "alicloud_cms_alarm_contact_group": "cms/alarm_contact_group.py",
    "alicloud_event_bridge_event_bus": "eventbridge/event_bus.py",
    "alicloud_event_bridge_rule": "eventbridge/rule.py",
    "alicloud_fcv3_async_invoke_config": "fc/v3_async_invoke_config.py",
    "alicloud_fcv3_function": "fc/v3_function.py",
    "alicloud_fcv3_trigger": "fc/v3_trigger.py",
    "alicloud_ims_oidc_provider": "ims/oidc_provider.py",
    "alicloud_log_dashboard": "log/dashboard.py",
    "alicloud_log_project": "log/project.py",
    "alicloud_log_store": "log/store.py",
    "alicloud_log_store_index": "log/store_index.py",
    "alicloud_message_service_queue": "message/service_queue.py",
    "alicloud_oss_bucket": "oss/bucket.py",
    "alicloud_oss_bucket_policy": "oss/bucket_policy.py",
    "alicloud_oss_bucket_public_access_block": "oss/bucket_public_access_block.py",
    "alicloud_ram_policy": "ram/policy.py",
    "alicloud_ram_role": "ram/role.py",
    "alicloud_ram_role_policy_attachment": "ram/role_policy_attachment.py",
    "alicloud_ros_stack_group": "ros/stack_group.py",
    "alicloud_ros_stack_instance": "ros/stack_instance.py",
    "alicloud_sls_alert": "sls/alert.py",
    "data.alicloud_account": "get_account.py",
    "data.alicloud_regions": "get_regions.py",
}
# Lists of blocks are singular in Terraform and plural in the bindings, lists of values plural in both.
# These are the exceptions: the path of the list in the binding → its name in Terraform.
EXCEPTIONS = {
    "alicloud_cms_alarm.targets": "targets",
    "alicloud_event_bridge_rule.targets": "targets",
    "alicloud_fcv3_function.custom_container_config.commands": "command",
    "alicloud_fcv3_function.custom_container_config.entrypoints": "entrypoint",
    "alicloud_fcv3_function.custom_dns.dns_options": "dns_options",
    "alicloud_fcv3_function.custom_runtime_config.commands": "command",
    "alicloud_fcv3_function.instance_lifecycle_config.initializer.commands": "command",
    "alicloud_fcv3_function.nas_config.mount_points": "mount_points",
    "alicloud_fcv3_function.oss_mount_config.mount_points": "mount_points",
    "alicloud_log_store_index.field_search.json_keys": "json_keys",
    "alicloud_log_store_index.log_reduce_black_lists": "log_reduce_black_list",
    "alicloud_log_store_index.log_reduce_white_lists": "log_reduce_white_list",
    "alicloud_oss_bucket.lifecycle_rule.transitions": "transitions",
    "alicloud_ram_policy.statement.actions": "action",
    "alicloud_ram_policy.statement.resources": "resource",
    "alicloud_ros_stack_group.parameters": "parameters",
    "alicloud_ros_stack_instance.parameter_overrides": "parameter_overrides",
    "alicloud_sls_alert.configuration.annotations": "annotations",
    "alicloud_sls_alert.configuration.join_configurations": "join_configurations",
    "alicloud_sls_alert.configuration.labels": "labels",
    "alicloud_sls_alert.configuration.severity_configurations": "severity_configurations",
    "data.alicloud_regions.regions": "regions",
}
# Blocks that nest as sets, which have no first element. From the provider's source at GitHub,
# aliyun/terraform-provider-alicloud, alicloud/resource_alicloud_{event_bridge_rule,log_store_index,oss_bucket}.go.
# Nested blocks of other kinds are lists here.
SETS = {
    "alicloud_event_bridge_rule.targets.dead_letter_queue",
    "alicloud_event_bridge_rule.targets.param_list",
    "alicloud_log_store_index.field_search",
    "alicloud_log_store_index.field_search.json_keys",
    "alicloud_log_store_index.full_text",
    "alicloud_oss_bucket.lifecycle_rule.abort_multipart_upload",
    "alicloud_oss_bucket.lifecycle_rule.expiration",
    "alicloud_oss_bucket.lifecycle_rule.noncurrent_version_expiration",
    "alicloud_oss_bucket.lifecycle_rule.noncurrent_version_transition",
    "alicloud_oss_bucket.lifecycle_rule.transitions",
}


@functools.cache
def parsed(path):
    """Name → class of a file."""
    body = ast.parse(pathlib.Path(path).read_text()).body
    return {node.name: node for node in body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}


def function(node, name):
    return next(part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == name)


def parameters(function):
    """Name → type of the parameters, and which of them have no default."""
    arguments = function.args.args + function.args.kwonlyargs
    defaults = function.args.defaults + function.args.kw_defaults
    defaults = [None] * (len(arguments) - len(defaults)) + defaults
    return {
        argument.arg.rstrip("_"): (plain(argument.annotation), default is None)
        for argument, default in zip(arguments, defaults)
        if argument.annotation and argument.arg != "opts"
    }


def plain(annotation):
    """A type without Pulumi's own wrappers: `Optional[Sequence[str]]`."""
    text = ast.unparse(annotation).replace("_builtins.", "").replace("'", "")
    before = None
    while before != text:
        before, text = text, re.sub(r"pulumi\.(?:Input|Output)\[((?:[^\[\]]|\[[^\]]*\]*)*?)\](?=[\],]|$)", r"\1", text)
    return text


class Binding:
    """A kind of the provider, as its Pulumi binding has it."""

    SCALARS = {"str": "string", "int": "number", "float": "number", "bool": "bool", "Any": "dynamic"}

    def __init__(self, package, kind):
        self.package, self.kind = pathlib.Path(package), kind
        self.path = self.package / BINDINGS[kind]
        inputs = self.path.parent / "_inputs.py"
        self.inputs = parsed(inputs) if inputs.exists() else {}
        self.outputs = parsed(self.path.parent / "outputs.py")

    def resource(self):
        classes = parsed(self.path)
        [given] = [node for name, node in classes.items() if name.endswith("Args") and name[0] != "_"]
        [resource] = [node for name, node in classes.items() if not re.search("Args$|State$|^_|ArgsDict$", name)]
        given = parameters(function(given, "__init__"))
        kept = {
            part.name.rstrip("_"): plain(part.returns)
            for part in resource.body
            if isinstance(part, ast.FunctionDef) and part.returns and "pulumi.Output" in ast.unparse(part.returns)
        }
        block = self.block(self.kind, given, kept)
        block["attributes"]["id"] = attribute("string", computed=True)
        return block

    def data(self):
        classes = parsed(self.path)
        given = parameters(classes[self.path.stem])
        [result] = [node for name, node in classes.items() if re.fullmatch("Get.*Result", name)]
        kept = {
            part.name.rstrip("_"): plain(part.returns)
            for part in result.body if isinstance(part, ast.FunctionDef) and part.returns
        }
        return self.block(f"data.{self.kind}".replace("data.data.", "data."), given, kept)

    def block(self, path, given, kept):
        """`given` are the arguments, `kept` the attributes of the result."""
        block = {"attributes": {}, "blocks": {}}
        for name in sorted(given | kept):
            text, required = given.get(name, (None, False))
            out = kept.get(name, "Optional[None]")
            computed = not required and not out.startswith("Optional[")
            flags = {"computed": computed, "optional": text is not None and not required, "required": required}
            many, inner = self.parts(text or out)
            own = self.own_name(path, name, many, inner)
            if inner and text:
                args = parameters(function(self.inputs[inner], "__init__"))
                result = self.outputs.get(inner.removesuffix("Args"))
                results = parameters(function(result, "__init__")) if result else {}
                here = self.block(f"{path}.{own}", args, {n: t for n, (t, _) in results.items()})
                nesting = "set" if f"{path}.{own}" in SETS else "list"
                block["blocks"][own] = nested(here, nesting, 0 if many else 1, int(required))
            else:
                block["attributes"][own] = attribute(self.type(text or out), **flags)
        return block

    def parts(self, text):
        """Whether it is a list, and the class of its structure."""
        text = re.sub(r"^Optional\[(.*)\]$", r"\1", text)
        many = text.startswith("Sequence[")
        text = re.sub(r"^Sequence\[(.*)\]$", r"\1", text)
        inner = re.fullmatch(r"(?:outputs\.)?([A-Z]\w+)", text)
        return many, inner and inner[1] != "Any" and inner[1] or None

    def own_name(self, path, name, many, inner):
        if f"{path}.{name}" in EXCEPTIONS:
            return EXCEPTIONS[f"{path}.{name}"]
        if many and inner:
            return re.sub("ies$", "y", name) if name.endswith("ies") else re.sub("(?<=us|ch)es$|s$", "", name)
        return name

    def type(self, text):
        text = re.sub(r"^Optional\[(.*)\]$", r"\1", text)
        sequence = re.fullmatch(r"Sequence\[(.*)\]", text)
        if sequence:
            inner = self.type(sequence[1])
            return inner if inner[0] == "list" else ["list", inner]
        mapping = re.fullmatch(r"Mapping\[str, (.*)\]", text)
        if mapping:
            return ["map", self.type(mapping[1])]
        if text.startswith("Union["):
            return "string"
        inner = re.fullmatch(r"(?:outputs\.)?(\w+)", text)[1]
        if inner in self.SCALARS:
            return self.SCALARS[inner]
        # Alone in the binding, Terraform has it as a list of at most one.
        return ["list", self.object(inner)]

    def object(self, name):
        types = parameters(function(self.outputs[name], "__init__"))
        return ["object", {name: self.type(kind) for name, (kind, _) in types.items()}]


def alicloud(package, used):
    found = {"provider": None, "resources": {}, "data": {}}
    given = parameters(function(parsed(pathlib.Path(package) / "provider.py")["ProviderArgs"], "__init__"))
    reader = Binding.__new__(Binding)
    found["provider"] = {"blocks": {}, "attributes": {
        name: attribute(reader.type(kind), optional=True)
        for name, (kind, _) in given.items() if "Args" not in kind
    }}
    for section, kind in used:
        key = f"data.{kind}" if section == "data" else kind
        if key not in BINDINGS:
            sys.exit(f"{kind}: add its file of the Pulumi bindings to BINDINGS in tests/infra/provider/schemas.py")
        binding = Binding(package, key)
        if section == "data":
            found["data"][kind] = binding.data()
        else:
            found["resources"][kind] = binding.resource()
    return found


def used_in(files):
    """(resource or data, kind) of what the files name."""
    return {found for file in files for found in re.findall(USED, pathlib.Path(file).read_text(), re.M)}


def read(aws_package, alicloud_package, used):
    return {
        "aws": aws(aws_package, [one for one in used if one[1].startswith("aws_")]),
        "alicloud": alicloud(alicloud_package, [one for one in used if one[1].startswith("alicloud_")]),
    }


if __name__ == "__main__":
    json.dump(read(*sys.argv[1:3], used_in(sys.argv[3:])), sys.stdout, sort_keys=True)
