"""Transforms a SAM template as CloudFormation would, without AWS: transform.py TEMPLATE OUTPUT.json [Parameter=Value ...]"""

import json
import sys

from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

source, output, *parameters = sys.argv[1:]
with open(source, encoding="utf-8") as file:
    template = yaml_parse(file.read())
# What `sam package` would put there. Nothing is read from it.
template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key.zip"
translated = Translator({}, Parser()).translate(template, dict(parameter.split("=", 1) for parameter in parameters))
with open(output, "w", encoding="utf-8") as file:
    json.dump(translated, file, indent=1)
