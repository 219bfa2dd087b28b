#!/usr/bin/env python3
"""Makes a template for CloudFormation alone of the SAM template, with the same bytes each time.

usage: cloudformation.py TEMPLATE VERSION

The result needs neither the SAM CLI nor a transform, which stack sets with service-managed permissions
do not take. The program comes from a bucket, by the parameters PackageBucket and PackageKey. It runs in
the SAM CLI's own environment, with the translator that CloudFormation's transform is made of.
"""

import json
import pathlib
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

PACKAGE = {
    "PackageBucket": "Bucket in this region that has the function's zip file",
    "PackageKey": "Key of the zip file in the bucket",
}


class Region:
    """Stands for a session of AWS. Only the partition of a region is asked for, and no account."""

    region_name = "us-east-1"


def main():
    file, version = sys.argv[1:]
    template = json.loads(json.dumps(yaml_parse(pathlib.Path(file).read_text())))
    template["Description"] += f", version {version}"
    for name, description in PACKAGE.items():
        template["Parameters"][name] = {"Type": "String", "MinLength": 1, "Description": description}
    groups = template["Metadata"]["AWS::CloudFormation::Interface"]["ParameterGroups"]
    groups.insert(0, {"Label": {"default": "The program"}, "Parameters": list(PACKAGE)})
    # The rest is for the SAM CLI, and for those who read the source.
    del template["Metadata"]["AWS::ServerlessRepo::Application"]
    for resource in template["Resources"].values():
        resource.pop("Metadata", None)
    bucket, key = PACKAGE
    template["Resources"]["Archiver"]["Properties"]["CodeUri"] = {"Bucket": {"Ref": bucket}, "Key": {"Ref": key}}
    translated = Translator({}, Parser(), boto_session=Region()).translate(template, {})
    assert "Transform" not in translated
    print(json.dumps(translated, indent=1))


main()
