"""Transforms template.yaml as CloudFormation would, without AWS, once with its defaults and once with the parameters of each
environment of samconfig.toml: transform.py FOLDER writes FOLDER/ENVIRONMENT.json"""

import json
import pathlib
import sys
import tomllib

from samcli.cli.types import CfnParameterOverridesType
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

folder = pathlib.Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
source = pathlib.Path("template.yaml").read_text(encoding="utf-8")
config = tomllib.loads(pathlib.Path("samconfig.toml").read_text(encoding="utf-8"))
for environment, commands in config.items():
    if not isinstance(commands, dict) or "deploy" not in commands:
        continue
    overrides = commands["deploy"]["parameters"].get("parameter_overrides")
    parameters = CfnParameterOverridesType().convert((overrides,), None, None) if overrides else {}
    template = yaml_parse(source)
    unknown = parameters.keys() - template["Parameters"].keys()
    if unknown:
        sys.exit(f"samconfig.toml: {environment} sets {sorted(unknown)}, which template.yaml has not")
    # What `sam package` would put there. Nothing is read from it.
    template["Globals"]["Function"]["CodeUri"] = "s3://bucket/key.zip"
    translated = Translator({}, Parser()).translate(template, parameters)
    (folder / f"{environment}.json").write_text(json.dumps(translated, indent=1), encoding="utf-8")
    print(f"{environment}: {len(template['Resources'])} resources, transformed to {len(translated['Resources'])}")
