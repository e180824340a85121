#!/usr/bin/env python3
"""Keeps a table of PostgreSQL in step with a deployment's entities, from webhooks. Needs Python and `psql`, and nothing else.

Environment: LONGHAND_URL, the deployment; LONGHAND_API_KEY, a key with the scope `read` (without one, the laptop's stack);
LONGHAND_WEBHOOK_SECRET, the secret of a webhook for `entity.*`, `import.*` and `subject.*`; PORT; RECONCILE_SECONDS, how often everything is
read again (900); and those of psql, such as PGHOST and PGDATABASE.

An event only says that something has changed: the entity itself is read from the API, and taken over where it is newer. So events may be
lost, doubled or out of order. Everything is read when the process starts, two minutes later (a deployment learns of a new webhook within a
minute, and tells it nothing before), and then every RECONCILE_SECONDS; entities that are gone leave the table.

PostgreSQL stores no NUL character in a text: U+FFFD stands for it. An entity that PostgreSQL refuses for another reason, such as a number
with an exponent that no `numeric` has, is printed and left out.
"""

import base64
import hashlib
import hmac
import json
import os
import queue
import re
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
RECONCILE_SECONDS = float(os.environ.get("RECONCILE_SECONDS", "900"))
FIRST_SECONDS = min(120.0, RECONCILE_SECONDS)
SECONDS_MAX = 300
# psql ends with it where a statement is refused; with 2 where the database cannot be reached.
REFUSED = 3
NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


class Refused(Exception):
    """PostgreSQL has refused a statement."""


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


def sql(script):
    """Runs a script in one transaction, and returns the lines that it selects. It goes through the standard input: an argument has at most 128 KiB."""
    command = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "--single-transaction", "-f", "-"]
    environment = {**os.environ, "PGCLIENTENCODING": "UTF8"}
    done = subprocess.run(command, input=script.encode(), capture_output=True, timeout=300, env=environment)
    if done.returncode == REFUSED:
        raise Refused(done.stderr.decode(errors="replace").strip())
    if done.returncode != 0:
        raise OSError(done.stderr.decode(errors="replace").strip())
    return done.stdout.decode().splitlines()


def table(name, column, lines):
    """A temporary table of texts."""
    rows = "".join(line.replace("\\", "\\\\").replace("\t", "\\t").replace("\r", "\\r").replace("\n", "\\n") + "\n" for line in lines)
    return f"CREATE TEMPORARY TABLE {name} ({column} text) ON COMMIT DROP;\nCOPY {name} FROM STDIN;\n{rows}\\.\n"


def take_over(lines, rest=""):
    """Takes over entities, each a JSON text, and runs the rest with them. What is refused among others is found, and left out."""
    lines = [NUL.sub(lambda found: found[1] + "\ufffd", line) for line in lines]
    upsert = (HERE / "upsert.sql").read_text()
    try:
        sql(table("incoming", "entity", lines) + upsert + rest)
    except Refused:
        for line in lines:
            try:
                sql(table("incoming", "entity", [line]) + upsert)
            except Refused as refused:
                print(f"left out: {id_of(line)}: {refused}", flush=True)
        sql(rest)


def id_of(line):
    # Numbers of any size are read as they are.
    return json.loads(line, parse_int=str, parse_float=str)["id"]


def read_subject(subject):
    """Takes over all entities of a subject. Those that it has no more leave the table."""
    path = urllib.parse.quote(subject, safe="")
    lines = []
    for state in ("", "&state=reverted"):
        after = ""
        while after is not None:
            query = f"?format=ndjson&limit=1000{state}" + (f"&after={after}" if after else "")
            page, after = get(f"/v1/subjects/{path}/entities{query}")
            lines += (page or "").splitlines()
    others = f"subject = {literal(subject)} AND id NOT IN (SELECT id FROM present)"
    take_over(lines, table("present", "id", map(id_of, lines)) + f"DELETE FROM longhand_entities WHERE {others};\n")


def read_all():
    """Takes over all entities of all subjects. Those of subjects that are gone leave the table."""
    after, subjects = "", []
    while after is not None:
        page = json.loads(get("/v1/subjects?limit=100" + (f"&after={urllib.parse.quote(after)}" if after else ""))[0])
        for subject in page["data"]:
            subjects.append(subject["id"])
            read_subject(subject["id"])
        after = page["last_id"] if page["has_more"] else None
    others = "subject NOT IN (SELECT name FROM present)"
    query = f"SELECT DISTINCT to_jsonb(subject) FROM longhand_entities WHERE {others};\n"
    # The list may lag behind: a subject is gone where its own path says so.
    for subject in sql(table("present", "name", subjects) + query):
        read_subject(json.loads(subject))


def literal(text):
    return "'" + text.replace("'", "''") + "'"


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
    due, wait = time.monotonic(), FIRST_SECONDS
    pending = []
    while True:
        try:
            if time.monotonic() >= due:
                read_all()
                due, wait = time.monotonic() + wait, RECONCILE_SECONDS
            pending = pending or take(events, due - time.monotonic())
            if any("subject" not in data for _, data in pending):
                # An event with too much to tell has its id alone.
                read_all()
                pending = []
            subjects = {data["subject"] for name, data in pending if not name.startswith("entity.")}
            changed = {(data["subject"], data["id"]) for name, data in pending if name.startswith("entity.")}
            entities = []
            for subject, id in changed:
                if subject not in subjects:
                    entity = get(f"/v1/subjects/{urllib.parse.quote(subject, safe='')}/entities/{id}")[0]
                    # One that is gone went with its subject.
                    entities.append(entity) if entity else subjects.add(subject)
            if entities:
                take_over(entities)
            for subject in subjects:
                read_subject(subject)
            pending = []
        except Exception as error:  # The API or the database may be away for a while.
            print(f"trying again: {error}", flush=True)
            time.sleep(1)


def take(events, seconds):
    """The next event, and those that wait behind it; none where none comes within so many seconds."""
    taken = []
    try:
        taken.append(events.get(timeout=max(0.0, seconds)))
        while len(taken) < 100:
            taken.append(events.get_nowait())
    except queue.Empty:
        pass
    return taken


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
            if event["type"].split(".")[0] in ("entity", "import", "subject"):
                self.server.events.put((event["type"], event["data"]))
            status = 204
        self.send_response(status)
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    sql((HERE / "schema.sql").read_text())
    server = Server(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver)
    # Events are taken from now on, and handled once everything has been read: nothing that changes in between is missed.
    server.events = queue.Queue()
    threading.Thread(target=work, args=(server.events,), daemon=True).start()
    server.serve_forever()
