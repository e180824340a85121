"""Deploys template.yaml with the given binary into ministack, by its CloudFormation.

Reads {"endpoint", "template", "bootstrap": file, "parameters"} from stdin; writes the stack's outputs as JSON.
"""

import io
import json
import sys
import time
import zipfile

import boto3


def bundle(path):
    """A zip as Lambda takes it: one executable called `bootstrap`."""
    out = io.BytesIO()
    info = zipfile.ZipInfo("bootstrap")
    info.external_attr = 0o755 << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(out, "w") as archive, open(path, "rb") as binary:
        archive.writestr(info, binary.read())
    return out.getvalue()


def with_code(template):
    """The template with the functions' code in S3, as `sam package` would leave it."""
    return template.replace("    CodeUri: functions/\n", "    CodeUri: s3://code/bootstrap.zip\n")


def without_streaming(template):
    """The template without response streaming, whose integrations ministack cannot call. `ResponseStreaming` is false to match."""
    return template.replace(", ResponseTransferMode: RESPONSE_STREAM, TimeoutInMillis: 900000", "")


def main():
    order = json.load(sys.stdin)
    account = {"region_name": "us-east-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    s3, cloudformation = (boto3.client(name, endpoint_url=order["endpoint"], **account) for name in ("s3", "cloudformation"))
    s3.create_bucket(Bucket="code")
    s3.put_object(Bucket="code", Key="bootstrap.zip", Body=bundle(order["bootstrap"]))
    cloudformation.create_stack(
        StackName="longhand",
        TemplateBody=with_code(without_streaming(order["template"])),
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
