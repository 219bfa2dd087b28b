#!/usr/bin/env python3
"""Holds a ROS template to the resource types that ROS's own development kit is generated from.

usage: ros.py SITE_PACKAGES TEMPLATE

SITE_PACKAGES is a folder with the kit's packages, ros-cdk-*. Each carries its library as a bundle
whose *.generated.js says, for every resource type, how a property is called in a template, whether
it must be there, of which type and in which bounds, and which attributes there are. It is read, not
run. The bundle's .jsii says the same of types, but calls some properties by other names.
"""

import pathlib
import re
import sys
import tarfile

import patterns
import templates

PSEUDO = {"ALIYUN::" + name for name in (
    "AccountId", "NoValue", "Region", "ResourceGroupId", "StackId", "StackName", "TenantId"
)}
# The sections and keys that ROS documents for templates.
SECTIONS = {
    "ROSTemplateFormatVersion", "Description", "Metadata", "Parameters", "Mappings", "Conditions",
    "Resources", "Outputs", "Rules",
}
RESOURCE_KEYS = {"Type", "Properties", "Condition", "DependsOn", "DeletionPolicy", "Metadata"}
OUTPUT_KEYS = {"Description", "Condition", "Value", "Label"}
PARAMETER_TYPES = {
    "String": str, "Number": (int, float), "Boolean": bool, "CommaDelimitedList": str, "Json": dict
}
PARAMETER_KEYS = {
    "Type", "Label", "Description", "Default", "AllowedValues", "AllowedPattern", "MinLength",
    "MaxLength", "MinValue", "MaxValue", "NoEcho", "Confirm", "TextArea", "ConstraintDescription",
    "AssociationProperty", "AssociationPropertyMetadata",
}
# What a function gives, where that is always the same.
GIVES = {
    "Fn::Sub": "String", "Fn::Join": "String", "Fn::Replace": "String", "Fn::Add": "Number",
    "Fn::Split": "List",
}
FUNCTIONS = {*GIVES, "Ref", "Fn::GetAtt", "Fn::If", "Fn::Equals", "Fn::Not", "Fn::And", "Fn::Or"}
# What a type takes of what a parameter or a function gives. ROS turns numbers into text.
TAKES = {
    "String": {"String", "Number"}, "Number": {"Number"}, "Boolean": {"Boolean"},
    "List": {"List", "CommaDelimitedList"}, "Map": {"Json"},
}


class Kit:
    """Functions and classes of the generated libraries, by name."""

    def __init__(self, site_packages):
        self.parts, self.resources = {}, {}
        for bundle in sorted(pathlib.Path(site_packages).glob("ros_cdk_*/_jsii/*.tgz")):
            with tarfile.open(bundle) as files:
                for member in files.getmembers():
                    if member.name.endswith(".generated.js"):
                        self.read(files.extractfile(member).read().decode())

    def read(self, script):
        for kind, name, text in re.findall(r"^(function|class) (\w+)(.*?)^}", script, re.M | re.S):
            self.parts[name] = text
        type_name = r'^(\w+)\.ROS_RESOURCE_TYPE_NAME = "([^"]+)"'
        for name, resource in re.findall(type_name, script, re.M):
            self.resources[resource] = name

    def attributes(self, name):
        return set(re.findall(r"this\.getAtt\('([^']+)'\)", self.parts[name]))

    def properties(self, validator):
        """Name in a template → the checks of that property."""
        writer = validator.replace("_", "").replace("Validator", "ToRosTemplate")
        writer = self.parts[writer[0].lower() + writer[1:]]
        line = r"'(\w+)': .*\(properties\.(\w+)\)"
        names = {field: name for name, field in re.findall(line, writer)}
        found = {name: [] for name in names.values()}
        check = r"propertyValidator\('(\w+)', (.*?)\)\((?:properties\.\w+|\{(.*?)\})\)\);"
        for field, kind, bounds in re.findall(check, self.parts[validator], re.S):
            found[names[field]].append((kind, bounds))
        return found


class Template:
    def __init__(self, kit, document):
        self.kit, self.document, self.problems = kit, document, []
        self.parameters = document.get("Parameters", {})
        self.resources = document.get("Resources", {})
        self.conditions = document.get("Conditions", {})
        self.used, self.checked = set(), 0

    def say(self, where, what):
        self.problems.append(f"{where} {what}")

    def keys(self, where, value, known):
        for key in set(value) - known:
            self.say(where, f"has no {key}")

    def check(self):
        self.keys("the template", self.document, SECTIONS)
        for name, parameter in self.parameters.items():
            self.parameter(name, parameter)
        for name, condition in self.conditions.items():
            self.references(name, condition)
        for name, resource in self.resources.items():
            self.resource(name, resource)
        for name, output in self.document.get("Outputs", {}).items():
            self.keys(name, output, OUTPUT_KEYS)
            self.references(name, output.get("Value"))
            self.condition(name, output)
        for name in self.parameters.keys() - self.used:
            self.say(name, "is a parameter that nothing uses")
        for name in self.conditions.keys() - self.used:
            self.say(name, "is a condition that nothing uses")
        interface = self.document.get("Metadata", {}).get("ALIYUN::ROS::Interface", {})
        for group in interface.get("ParameterGroups", []):
            if not isinstance(group.get("Label"), dict) or "default" not in group["Label"]:
                self.say("ParameterGroups", f"have a label without default: {group.get('Label')}")
        grouped = [name for g in interface.get("ParameterGroups", []) for name in g["Parameters"]]
        if sorted(grouped) != sorted(self.parameters):
            self.say("ParameterGroups", "and Parameters are not the same")

    def parameter(self, name, parameter):
        self.keys(name, parameter, PARAMETER_KEYS)
        kind = PARAMETER_TYPES.get(parameter.get("Type"))
        default = parameter.get("Default")
        if kind is None:
            return self.say(name, f"is a parameter of no type: {parameter.get('Type')}")
        if default is None:
            return
        if not isinstance(default, kind):
            return self.say(name, f"has a default that is no {parameter['Type']}")
        if default not in parameter.get("AllowedValues", [default]):
            self.say(name, "has a default that it does not allow")
        if not re.search(parameter.get("AllowedPattern", ""), str(default)):
            self.say(name, "has a default that its pattern does not allow")
        if isinstance(default, (int, float)):
            least, most = parameter.get("MinValue", default), parameter.get("MaxValue", default)
            if not least <= default <= most:
                self.say(name, "has a default out of its bounds")

    def condition(self, where, value):
        name = value.get("Condition")
        if name is not None:
            self.used.add(name)
            if name not in self.conditions:
                self.say(where, f"depends on {name}, which is no condition")

    def resource(self, name, resource):
        self.keys(name, resource, RESOURCE_KEYS)
        self.condition(name, resource)
        depends = resource.get("DependsOn", [])
        for other in [depends] if isinstance(depends, str) else depends:
            if other not in self.resources:
                self.say(name, f"depends on {other}, which is no resource")
        kind = self.kit.resources.get(resource.get("Type"))
        if kind is None:
            return self.say(name, f"has a type that is not known: {resource.get('Type')}")
        properties = resource.get("Properties", {})
        self.references(name, properties)
        self.block(name, properties, f"{kind}PropsValidator")

    def references(self, where, value):
        """Every Ref, Fn::GetAtt, Fn::Sub and Fn::If in a value names something."""
        if isinstance(value, list):
            for item in value:
                self.references(where, item)
        if not isinstance(value, dict):
            return
        for key, item in value.items():
            self.references(where, item)
            if key.startswith("Fn::") and key not in FUNCTIONS:
                self.say(where, f"uses {key}, which this script does not know")
            if key == "eventRuleFilterPattern" and (wrong := patterns.problem(value)):
                self.say(where, wrong)
            elif key == "Ref":
                self.name(where, item)
            elif key == "Fn::GetAtt":
                self.attribute(where, *item)
            elif key == "Fn::If":
                self.condition(where, {"Condition": item[0]})
            elif key == "Fn::Sub":
                text, own = item if isinstance(item, list) else (item, {})
                for name in re.findall(r"\$\{([^!}]+)\}", text):
                    if name in own:
                        continue
                    if "." in name:
                        self.attribute(where, *name.split(".", 1))
                    else:
                        self.name(where, name)

    def name(self, where, name):
        self.used.add(name)
        if name not in PSEUDO and name not in self.parameters and name not in self.resources:
            self.say(where, f"refers to {name}, which is not there")

    def attribute(self, where, name, attribute):
        resource = self.resources.get(name)
        kind = self.kit.resources.get((resource or {}).get("Type"))
        if resource is None:
            self.say(where, f"asks {name}, which is not there, for {attribute}")
        elif kind and attribute not in self.kit.attributes(kind):
            self.say(where, f"asks {name} for {attribute}, which it has not")

    def block(self, where, value, validator):
        if not isinstance(value, dict):
            return self.say(where, "is no map")
        properties = self.kit.properties(validator)
        self.keys(where, value, set(properties))
        for name, checks in properties.items():
            kinds = [kind for kind, _ in checks]
            if name in value:
                self.checked += 1
                for kind, bounds in checks:
                    self.value(f"{where}.{name}", value[name], kind, bounds)
            elif "ros.requiredValidator" in kinds:
                self.say(where, f"needs {name}")

    def value(self, where, value, kind, bounds):
        kind = kind.removeprefix("ros.")
        inner = re.fullmatch(r"(list|hash)Validator\((.*)\)", kind)
        expected = {"list": "List", "hash": "Map"}.get(inner and inner[1])
        if kind in ("validateString", "validateNumber", "validateBoolean"):
            expected = kind.removeprefix("validate")
        if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in FUNCTIONS:
            return self.dynamic(where, value, kind, bounds, expected)
        python = {"String": str, "Number": (int, float), "Boolean": bool, "List": list, "Map": dict}
        if expected:
            is_bool = isinstance(value, bool) and expected == "Number"
            if not isinstance(value, python[expected]) or is_bool:
                return self.say(where, f"is no {expected}")
        if inner:
            items = value if inner[1] == "list" else value.values()
            for item in items:
                self.value(f"{where}[]", item, inner[2], "")
        elif kind.endswith("PropertyValidator"):
            self.block(where, value, kind)
        elif bounds:
            self.bounds(where, value, kind, bounds)

    def dynamic(self, where, value, kind, bounds, expected):
        """A value that ROS works out: its type, where that is known."""
        [(function, argument)] = value.items()
        if function == "Fn::If":
            for branch in argument[1:]:
                if branch != {"Ref": "ALIYUN::NoValue"}:
                    self.value(where, branch, kind, bounds)
            return
        gives = GIVES.get(function)
        if function == "Ref":
            gives = self.parameters.get(argument, {}).get("Type", "String")
        if gives and expected and gives not in TAKES[expected]:
            self.say(where, f"is no {expected} but a {gives}")

    def bounds(self, where, value, kind, bounds):
        is_text = isinstance(value, str)
        if kind == "validateRange" and is_text or kind == "validateAllowedPattern" and not is_text:
            return  # Of another type, which is told already.
        if kind == "validateAllowedValues":
            allowed = re.search(r"allowedValues: \[(.*)\]", bounds, re.S)[1]
            if str(value) not in [word.strip(' "') for word in allowed.split(",")]:
                self.say(where, f"is none of {allowed}")
        elif kind == "validateAllowedPattern":
            pattern = re.search(r"reg: /(.*)/", bounds)[1]
            if not re.search(pattern, value):
                self.say(where, f"does not match {pattern}")
        elif kind in ("validateRange", "validateLength"):
            size = len(value) if kind == "validateLength" else value
            least, most = re.search(r"min: (\S+),\s*max: (\S+),", bounds).groups()
            is_less = least != "undefined" and size < float(least)
            if is_less or most != "undefined" and size > float(most):
                self.say(where, f"is not from {least} to {most}")
        else:
            self.say(where, f"has a check that this script does not know: {kind}")


def main():
    site_packages, file = sys.argv[1:]
    document = templates.load(file)
    kit = Kit(site_packages)
    if not kit.resources:
        sys.exit(f"{site_packages} has no package ros-cdk-*")
    template = Template(kit, document)
    if document.get("ROSTemplateFormatVersion") != "2015-09-01":
        template.say(file, "is no ROS template")
    template.check()
    for problem in template.problems:
        print(f"{file}: {problem}", file=sys.stderr)
    if template.problems or not template.checked:
        sys.exit(1)
    resources, properties = len(template.resources), template.checked
    print(f"{resources} resources with {properties} properties are as ROS has them")


main()
