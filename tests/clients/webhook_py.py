"""OpenAI's client for Python reads a delivery: on stdin {"secret", "headers", "body"}. Says what it has read."""

import json
import sys

from openai import InvalidWebhookSignatureError, OpenAI

client = OpenAI(api_key="none")
given = json.load(sys.stdin)
event = client.webhooks.unwrap(given["body"], given["headers"], secret=given["secret"])
try:
    client.webhooks.unwrap(given["body"] + " ", given["headers"], secret=given["secret"])
    refused = False
except InvalidWebhookSignatureError:
    refused = True
print(json.dumps({"event": event.model_dump(mode="json"), "refused": refused}))
