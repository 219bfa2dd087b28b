"""Templates of CloudFormation and of ROS: how they are read, and what their functions give.

ROS's functions are CloudFormation's, with some more.
"""

import re

import yaml


class Loader(yaml.SafeLoader):
    """Reads `!Sub` and its kind as the function they stand for."""


def short_form(loader, suffix, node):
    value = {
        yaml.ScalarNode: loader.construct_scalar,
        yaml.SequenceNode: lambda node: loader.construct_sequence(node, deep=True),
        yaml.MappingNode: lambda node: loader.construct_mapping(node, deep=True),
    }[type(node)](node)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


Loader.add_multi_constructor("!", short_form)


def load(path):
    with open(path) as file:
        return yaml.load(file, Loader)


def parameter(value):
    """A variable's value as a parameter has it, which is text."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, list) else value


NOTHING = object()


class Resolver:
    """What a template's values become, for parameters and for attributes of resources.

    `known` has parameters, pseudo parameters, what `Ref` gives of a resource, and its attributes as
    `Name.Attribute`. A parameter that is not in it has its default.
    """

    def __init__(self, document, known):
        self.document = document
        defaults = {name: one.get("Default", "") for name, one in document.get("Parameters", {}).items()}
        self.known = defaults | known

    def condition(self, name):
        return self.value(self.document["Conditions"][name])

    def value(self, value):
        if isinstance(value, list):
            return [item for item in map(self.value, value) if item is not NOTHING]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function in ("Ref", "Condition") or function.startswith("Fn::"):
                return getattr(self, function.removeprefix("Fn::").lower() + "_")(argument)
        items = {key: self.value(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not NOTHING}

    def ref_(self, name):
        return NOTHING if name.endswith("::NoValue") else self.known[name]

    def condition_(self, name):
        return self.condition(name)

    def getatt_(self, parts):
        return self.known[".".join(parts)]

    def if_(self, parts):
        name, yes, no = parts
        return self.value(yes if self.condition(name) else no)

    def not_(self, parts):
        # CloudFormation's takes a list of one, ROS's the condition itself.
        return not self.value(parts[0] if isinstance(parts, list) else parts)

    def and_(self, parts):
        return all(map(self.value, parts))

    def or_(self, parts):
        return any(map(self.value, parts))

    def equals_(self, parts):
        one, other = map(self.value, parts)
        return str(one) == str(other)

    def join_(self, parts):
        return parts[0].join(map(str, self.value(parts[1])))

    def split_(self, parts):
        return self.value(parts[1]).split(parts[0])

    def select_(self, parts):
        return self.value(parts[1])[int(parts[0])]

    def add_(self, parts):
        return sum(map(self.value, parts))

    def replace_(self, parts):
        text = self.value(parts[1])
        for old, new in parts[0].items():
            text = text.replace(old, self.value(new))
        return text

    def sub_(self, argument):
        text, own = argument if isinstance(argument, list) else (argument, {})
        own = {name: self.value(value) for name, value in own.items()}
        filled = re.sub(r"\$\{([^!}]+)\}", lambda found: str((self.known | own)[found[1]]), text)
        return filled.replace("${!", "${")
