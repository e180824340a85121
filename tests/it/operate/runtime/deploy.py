"""Deploys template.yaml with the given binary into ministack, by its CloudFormation.

Reads {"endpoint", "template", "bootstrap": file, "parameters"} from stdin; writes the stack's outputs as JSON.
"""

import io
import json
import sys
import time
import zipfile

import boto3
from samtranslator.yaml_helper import yaml_parse


def bundle(path):
    """A zip as Lambda takes it: one executable called `bootstrap`."""
    out = io.BytesIO()
    info = zipfile.ZipInfo("bootstrap")
    info.external_attr = 0o755 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w") as archive, open(path, "rb") as binary:
        archive.writestr(info, binary.read())
    return out.getvalue()


def for_ministack(text):
    """The template with the functions' code in S3, as `sam package` would leave it, and without what ministack cannot do."""
    template = yaml_parse(text)
    template["Globals"]["Function"]["CodeUri"] = "s3://code/bootstrap.zip"
    resources = template["Resources"]
    for resource in resources.values():
        events = resource.get("Properties", {}).get("Events", {})
        for event in events.values():
            # It cannot call integrations that stream. `ResponseStreaming` is false to match.
            for name in ("ResponseTransferMode", "TimeoutInMillis"):
                event["Properties"].pop(name, None)
        # It passes over a path's method for all methods.
        for name in [name for name, event in events.items() if event["Properties"].get("Method") == "ANY"]:
            event = events.pop(name)
            for method in ("GET", "HEAD"):
                events[name + method] = {**event, "Properties": {**event["Properties"], "Method": method}}
    # It has no metric math, and no X-Ray. The dashboard shows those alarms too.
    math = [name for name, resource in resources.items() if "Metrics" in resource.get("Properties", {})]
    traces = [name for name, resource in resources.items() if resource["Type"] == "AWS::XRay::SamplingRule"]
    for name in [*math, *traces, "Dashboard"]:
        del resources[name]
    return json.dumps(template)


def main():
    order = json.load(sys.stdin)
    account = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    s3, cloudformation = (boto3.client(name, endpoint_url=order["endpoint"], **account) for name in ("s3", "cloudformation"))
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="bootstrap.zip", Body=bundle(order["bootstrap"]))
    # From the bucket, as `sam deploy` does it: a request has only room for 51,200 bytes of template.
    s3.put_object(Bucket="code", Key="template.yaml", Body=for_ministack(order["template"]).encode())
    cloudformation.create_stack(
        StackName="longhand",
        TemplateURL=f"{order['endpoint']}/code/template.yaml",
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in order["parameters"].items()],
    )
    while True:
        stack = cloudformation.describe_stacks(StackName="longhand")["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.05)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        sys.exit(f"{stack['StackStatus']}: {stack.get('StackStatusReason')}")
    json.dump({output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}, sys.stdout)


main()
