#!/usr/bin/env python3
"""Keeps a table of PostgreSQL in step with a deployment's entities, from webhooks. Needs Python and `psql`, and nothing else.

Environment: LONGHAND_URL, the deployment; LONGHAND_API_KEY, a key with the scope `read` (without one, the laptop's stack);
LONGHAND_WEBHOOK_SECRET, the secret of a webhook for `entity.*` and `import.*`; PORT; and those of psql, such as PGHOST and PGDATABASE.

An event only says that something has changed: the entity itself is read from the API, and taken over where its revision is newer. So events
may be lost, doubled or out of order. A process that starts reads everything once, and catches up with what it has missed.
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
URL = os.environ["LONGHAND_URL"]
SECRET = base64.b64decode(os.environ["LONGHAND_WEBHOOK_SECRET"].removeprefix("whsec_"))
SECONDS_MAX = 300


def get(path):
    """What is at a path of the API, and the header that leads to the next page of a file; nothing where there is nothing."""
    request = urllib.request.Request(URL + path)
    if key := os.environ.get("LONGHAND_API_KEY"):
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode(), answer.headers.get("longhand-next-after")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None, None
        raise


def sql(file, **variables):
    arguments = [argument for name, value in variables.items() for argument in ("-v", f"{name}={value}")]
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments, "-f", HERE / file], check=True, timeout=60)


def take_over(entities):
    # An argument of a command has at most 128 KiB.
    while entities:
        few, entities = entities[:50], entities[50:]
        sql("upsert.sql", entities=json.dumps(few))


def read_subject(subject):
    subject = urllib.parse.quote(subject, safe="")
    for state in ("", "&state=reverted"):
        after = ""
        while after is not None:
            query = f"?format=ndjson&limit=1000{state}" + (f"&after={after}" if after else "")
            lines, after = get(f"/v1/subjects/{subject}/entities{query}")
            take_over([json.loads(line) for line in (lines or "").splitlines()])


def read_all():
    after = ""
    while after is not None:
        page = json.loads(get("/v1/subjects?limit=100" + (f"&after={urllib.parse.quote(after)}" if after else ""))[0])
        for subject in page["data"]:
            read_subject(subject["id"])
        after = page["last_id"] if page["has_more"] else None


def is_signed(headers, body):
    """Whether a message is from the deployment, and new: https://www.standardwebhooks.com."""
    message, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    if not at.isdigit() or abs(time.time() - int(at)) > SECONDS_MAX:
        return False
    signed = hmac.new(SECRET, f"{message}.{at}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(signed).decode()
    return any(hmac.compare_digest(expected, given) for given in headers.get("webhook-signature", "").split())


def work(events):
    """Takes over what events tell of, many at a time. What fails is tried again; what is lost with the process is read by the next one."""
    is_caught_up = False
    pending = []
    while True:
        try:
            if not is_caught_up:
                read_all()
                is_caught_up = True
            pending = pending or take(events)
            for subject in {data["subject"] for name, data in pending if name.startswith("import.")}:
                read_subject(subject)
            changed = {(data["subject"], data["id"]) for name, data in pending if name.startswith("entity.")}
            take_over([entity for subject, id in changed if (entity := read_entity(subject, id))])
            pending = []
        except Exception as error:  # The API or the database may be away for a while.
            print(f"trying again: {error}", flush=True)
            time.sleep(1)


def take(events):
    """The next event, and those that wait behind it."""
    taken = [events.get()]
    while len(taken) < 100:
        try:
            taken.append(events.get_nowait())
        except queue.Empty:
            break
    return taken


def read_entity(subject, id):
    entity, _ = get(f"/v1/subjects/{urllib.parse.quote(subject, safe='')}/entities/{id}")
    return json.loads(entity) if entity else None


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = 401
        if is_signed(self.headers, body):
            # Answered at once: a deployment waits for no database, and asks a slow receiver again only minutes later.
            event = json.loads(body)
            self.server.events.put((event["type"], event["data"]))
            status = 204
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    sql("schema.sql")
    server = Server(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver)
    # Events are taken from now on, and handled once everything has been read: nothing that changes in between is missed.
    server.events = queue.Queue()
    threading.Thread(target=work, args=(server.events,), daemon=True).start()
    server.serve_forever()
