#!/usr/bin/env bash
# The first hour of a deployed stack: what no emulator can show, and what would be noticed last.
#
#   infra/smoke.sh STACK REGION [--provider NAME] [--model NAME] [--long] [--long-request FILE] [--delete]
#
# Each check prints one line: ok, FAILED or SKIPPED, with its figure. The exit code is 0 if none has failed. Without `--long` it takes about
# five minutes and a few thousand tokens. `--long` has a generation run for longer than a function may: about 25 minutes. A model that
# ends sooner needs a longer request, a body of POST /v1/generations in a file. `--delete` deletes the stack afterwards.
#
# It needs bash, curl, Python 3, and the AWS CLI, which the deployment needed too; with `--delete` the SAM CLI. The key in LONGHAND_API_KEY
# must have the scopes start and read; without one, `longhand` creates a key, which is revoked at the end. The API is at the stack's
# output, or at LONGHAND_URL. An emulator, whose address is in AWS_ENDPOINT_URL, is asked only for what it can do.
set -euo pipefail

usage() {
    sed -n '4p' "$0" | cut -c5- >&2
    exit 2
}

# The bounds for live events, in milliseconds behind the provider's deltas.
median_max=200 p99_max=400
# A response of the event routes lasts a minute and a half.
reader_seconds_max=105
long_seconds_min=1200 long_seconds_max=1860
skip=75
provider=openai model=gpt-5 is_long= long_request= is_deleted=

(($# >= 2)) && [[ $1 != -* && $2 != -* ]] || usage
stack=$1 region=$2
shift 2
while (($#)); do
    case $1 in
    --provider) provider=${2:?} && shift ;;
    --model) model=${2:?} && shift ;;
    --long) is_long=yes ;;
    --long-request) is_long=yes long_request=$(realpath "${2:?}") && shift ;;
    --delete) is_deleted=yes ;;
    *) usage ;;
    esac
    shift
done
export AWS_REGION=$region AWS_DEFAULT_REGION=$region AWS_PAGER='' AWS_RETRY_MODE=standard
work=$(mktemp -d)
passed=0 failed=0 skipped=0

# --- What the checks use.

say() {
    printf '%-7s %-28s %s\n' "$1" "$2" "$3"
}

# Runs a check in a process of its own: its output is the figure, its last line the reason if it fails.
check() {
    local name=$1 code=0 said
    shift
    set +e
    said=$(set -e; "$@" 2>&1)
    code=$?
    set -e
    said=$(tail -n 1 <<<"$said" | tr -d '\r' | cut -c1-300)
    case $code in
    0) say ok "$name" "$said" && passed=$((passed + 1)) ;;
    "$skip") say SKIPPED "$name" "$said" && skipped=$((skipped + 1)) ;;
    *) say FAILED "$name" "$said" && failed=$((failed + 1)) ;;
    esac
}

skip() {
    echo "$1"
    exit "$skip"
}

fail() {
    echo "$1"
    exit 1
}

needs_aws() {
    [[ -z ${AWS_ENDPOINT_URL:-} ]] || skip "needs AWS"
}

# Version 1 of the AWS CLI does not look at AWS_ENDPOINT_URL for every service.
aws() {
    command aws ${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"
}

# A value of the JSON on stdin, as a Python expression over `it`.
json() {
    python3 -c "import json, sys; it = json.load(sys.stdin); print($1)"
}

output() {
    json "next(o['OutputValue'] for o in it['Outputs'] if o['OutputKey'] == '$1')" <"$work/stack.json"
}

# A request to the API: the path, then curl's options. Prints the body.
api() {
    local path=$1
    shift
    curl --silent --show-error --fail-with-body --max-time 30 -H "authorization: Bearer $(cat "$work/key")" "$@" "$(cat "$work/url")$path"
}

# Starts a generation with this prompt, or with the body in a file, and prints its id.
start() {
    local body=${2:-}
    if [[ -z $body ]]; then
        # A file of its own: checks may run side by side.
        body=$(mktemp "$work/request.XXXXXX")
        python3 - "$provider" "$model" "$1" >"$body" <<'PY'
import json, sys
print(json.dumps(dict(zip(("provider", "model", "prompt"), sys.argv[1:]))))
PY
    fi
    api /v1/generations -H 'content-type: application/json' --data-binary "@$body" | json "it['id']"
}

# Waits for the end of a generation, and leaves its record in the file ID.json.
ended() {
    local id=$1 seconds=$2 until=$((SECONDS + $2))
    while ((SECONDS < until)); do
        api "/v1/generations/$id" >"$work/$id.json"
        [[ $(json "it['status'] in ('pending', 'running') or it['finalizing']" <"$work/$id.json") == True ]] || return 0
        sleep 1
    done
    fail "$id has not ended after $seconds s"
}

# Whether the record is completed, and its hash that of the text which the API returns.
whole() {
    local id=$1 text
    [[ $(json "it['status']" <"$work/$id.json") == completed ]] ||
        fail "$id is $(json "str(it['status']) + ': ' + str(it['reason']) + ' ' + str(it['error'])" <"$work/$id.json")"
    text=$(api "/v1/generations/$id/output" --location -H 'accept: text/plain' | sha256sum | cut -d' ' -f1)
    [[ $text == "$(json "it['sha256']" <"$work/$id.json")" ]] || fail "$id: the text has another hash than the record"
}

# --- The checks.

stack_is_there() {
    aws cloudformation describe-stacks --stack-name "$stack" --query 'Stacks[0]' --output json >"$work/stack.json"
    local status
    status=$(json "it['StackStatus']" <"$work/stack.json")
    [[ $status == *_COMPLETE && $status != *ROLLBACK* ]] || fail "$status"
    echo "${LONGHAND_URL:-$(output ApiUrl)}" >"$work/url"
    echo "$status, $(cat "$work/url")"
}

# The first request of all, so with a cold start.
api_is_up() {
    curl --silent --show-error --fail --max-time 30 --output /dev/null --write-out 'answered after %{time_total} s' "$(cat "$work/url")/healthz"
}

key_is_made() {
    if [[ -n ${LONGHAND_API_KEY:-} ]]; then
        echo "$LONGHAND_API_KEY" >"$work/key"
        echo "the one in LONGHAND_API_KEY"
        return
    fi
    longhand keys create --aws --organization smoke --name smoke --scope start --scope read --json >"$work/new-key.json"
    json "it['key']" <"$work/new-key.json" >"$work/key"
    echo "created for the organization smoke"
}

strangers_are_refused() {
    local codes
    codes=$(for credential in 'accept: */*' 'authorization: Bearer lh_0000000000000000000000000000000000000000000000000000000000000000'; do
        curl --silent --max-time 30 --output /dev/null --write-out '%{http_code} ' -H "$credential" "$(cat "$work/url")/v1/generations"
    done)
    [[ $codes == '401 401 ' ]] || fail "without a key and with a wrong one: $codes"
    echo "401 without a key, and with a wrong one"
}

generation_completes() {
    local id
    id=$(start "Write the numbers from 1 to 50 in English words, one in a line.")
    ended "$id" 300
    whole "$id"
    echo "$id" >"$work/completed"
    json "f\"{it['bytes']} bytes in {it['chunk_count']} chunks, by {it['compacted_by']}\"" <"$work/$id.json"
}

# Answers without a body on a route that is streamed: an answer of headers alone has been seen to stay open until the function's end. `start`
# has no such answer, and API Gateway answers a HEAD of its routes by itself.
empty() {
    local expected=$1 path=$2 found
    shift 2
    found=$(curl --silent --show-error --max-time 15 --output "$work/body" --write-out '%{http_code} %{time_total} %{size_download}' \
        -H "authorization: Bearer $(cat "$work/key")" "$@" "$(cat "$work/url")$path") || fail "hangs: $found"
    [[ $found == "$expected "*" 0" ]] || fail "status, seconds, bytes: $found"
    echo "$expected after $(cut -d' ' -f2 <<<"$found") s"
}

no_content_ends() {
    empty 204 "/v1/generations/$(cat "$work/completed")/events?after=999999" -H 'accept: text/event-stream'
}

not_modified_ends() {
    local path etag
    path=/v1/stream/generations/$(cat "$work/completed")
    etag=$(api "$path" --dump-header - --output /dev/null | tr -d '\r' | sed -n 's/^etag: //Ip')
    [[ -n $etag ]] || fail "$path has no etag"
    empty 304 "$path" -H "if-none-match: $etag"
}

head_ends() {
    empty 200 "/v1/stream/generations/$(cat "$work/completed")" --head
}

# A reader's arrivals, against the log: each of its chunks has the time at which it was stored, by the writer's clock, and the number of the
# provider's deltas up to there. A chunk's deltas came in the time since the chunk before it, and are taken to have come evenly.
live_events_arrive() {
    needs_aws
    local id organization
    python3 - "$(cat "$work/url")" "$provider" "$model" "$work" 3<"$work/key" <<'PY'
import datetime, json, os, pathlib, sys, time, urllib.request

url, provider, model, work = sys.argv[1:]
key = os.fdopen(3).read().strip()


def request(path, body=None, accept="application/json"):
    headers = {"authorization": f"Bearer {key}", "accept": accept, "content-type": "application/json"}
    data = json.dumps(body).encode() if body else None
    return urllib.request.urlopen(urllib.request.Request(url + path, data, headers), timeout=60)


prompt = "Write the numbers from 1 to 500 in English words, one in a line."
before = time.time()
started = json.load(request("/v1/generations", {"provider": provider, "model": model, "prompt": prompt}))
after = time.time()
created = datetime.datetime.fromisoformat(started["created_at"].replace("Z", "+00:00")).timestamp()
# Both clocks are compared below. One millisecond is the precision of that time.
if not before - 0.05 <= created <= after + 0.05:
    sys.exit(f"this machine's clock is {1000 * (created - (before + after) / 2):.0f} ms behind the functions': synchronize it by NTP")
arrivals, seq, is_open = {}, None, True
while is_open:
    query = "" if seq is None else f"?after={seq}"
    for line in request(f"/v1/generations/{started['id']}/events{query}", accept="text/event-stream"):
        if line.startswith(b"data:"):
            event = json.loads(line[5:])
            seq = event["seq"]
            arrivals[seq] = time.time()
            is_open = event["type"] not in ("completed", "failed", "cancelled", "incomplete")
pathlib.Path(work, "arrivals.json").write_text(json.dumps({"began": before, "arrivals": arrivals}))
pathlib.Path(work, "live").write_text(started["id"])
PY
    id=$(cat "$work/live")
    ended "$id" 60
    # s3://BUCKET/ORGANIZATION/ID/…
    organization=$(json "it['compacted'].split('/')[3]" <"$work/$id.json")
    aws dynamodb query --table-name "$LONGHAND_BUFFER_TABLE" --key-condition-expression 'pk = :pk AND sk < :meta' \
        --expression-attribute-values "{\":pk\": {\"S\": \"$organization#$id\"}, \":meta\": {\"S\": \"meta\"}}" \
        --projection-expression 'sk, #at, received_chunks' --expression-attribute-names '{"#at": "at"}' --query Items --output json >"$work/chunks.json"
    python3 - "$work" "$median_max" "$p99_max" <<'PY'
import json, pathlib, statistics, sys

work, median_max, p99_max = pathlib.Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
# The writer learns by its lease that somebody reads, so the first seconds are those of a generation that nobody watches.
SETTLING = 5
seen = json.loads((work / "arrivals.json").read_text())
chunks = [{name: int(*value.values()) for name, value in chunk.items()} for chunk in json.loads((work / "chunks.json").read_text())]
late = []
for before, chunk in zip(chunks, chunks[1:]):
    count = chunk["received_chunks"] - before["received_chunks"]
    arrived = 1000 * seen["arrivals"][str(chunk["sk"])]
    if before["at"] > 1000 * (seen["began"] + SETTLING):
        late += [arrived - (before["at"] + (chunk["at"] - before["at"]) * (number + 1) / count) for number in range(count)]
if len(late) < 100:
    sys.exit(f"only {len(late)} deltas after the first {SETTLING} s: choose a model that streams longer, in smaller deltas")
median, p99 = statistics.median(late), statistics.quantiles(late, n=100)[98]
print(f"median {median:.0f} ms, 99 % within {p99:.0f} ms of {len(late)} deltas; at most {median_max:.0f} and {p99_max:.0f}")
sys.exit(median > median_max or p99 > p99_max)
PY
}

# Lambda reports each invocation once it has ended. The reader's is the one that began with it and lasted at least as long as it stayed.
reader_that_leaves_is_let_go() {
    needs_aws
    local id began until stays=5
    id=$(start "Write the numbers from 1 to 1500 in English words, one in a line.")
    began=$(($(date +%s) * 1000))
    # 28: curl has left, which is what this is about.
    api "/v1/generations/$id/events" --no-buffer --max-time "$stays" -H 'accept: text/event-stream' --output "$work/left" >/dev/null 2>&1 || [[ $? == 28 ]] ||
        fail "the reader got an error"
    [[ -s $work/left ]] || fail "the reader got nothing in $stays s"
    # CloudWatch has the lines some seconds later.
    until=$((SECONDS + reader_seconds_max + 60))
    while ((SECONDS < until)); do
        sleep 5
        aws logs filter-log-events --log-group-name "/aws/lambda/$stack-tail" --start-time "$began" --filter-pattern '{ $.type = "platform.report" }' \
            --query 'events[].message' --output json >"$work/reports.json"
        python3 - "$work/reports.json" "$began" "$stays" "$reader_seconds_max" <<'PY' && return || [[ $? == 3 ]] || return 1
import datetime, json, pathlib, sys

path, began, stays, most = sys.argv[1], *map(float, sys.argv[2:])
reports = [json.loads(message) for message in json.loads(pathlib.Path(path).read_text())]
found = []
for report in reports:
    seconds = report["record"]["metrics"]["durationMs"] / 1000
    ended = datetime.datetime.fromisoformat(report["time"].replace("Z", "+00:00")).timestamp()
    # A second for what lies between the reader and the function.
    if seconds >= stays - 1 and ended - seconds >= began / 1000 - 1:
        found.append(seconds)
if not found:
    sys.exit(3)
print(f"its function ended after {max(found):.1f} s; at most {most:.0f}")
sys.exit(max(found) > most)
PY
    done
    fail "its function has not ended $((reader_seconds_max + 60)) s after it left"
}

# A queue of this script's own is subscribed to the topic, so that nobody has to look at a mailbox.
alarm_arrives() {
    local topic alarm queue arn began
    topic=$(output AlarmTopic)
    alarm=$(aws cloudformation describe-stack-resource --stack-name "$stack" --logical-resource-id StreamFailuresAlarm \
        --query StackResourceDetail.PhysicalResourceId --output text)
    queue=$(aws sqs create-queue --queue-name "$stack-smoke-$$" --query QueueUrl --output text)
    echo "$queue" >"$work/queue"
    arn=$(aws sqs get-queue-attributes --queue-url "$queue" --attribute-names QueueArn --query Attributes.QueueArn --output text)
    python3 - "$arn" "$topic" >"$work/attributes.json" <<'PY'
import json, sys
queue, topic = sys.argv[1:]
statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": queue, "Condition": {"ArnEquals": {"aws:SourceArn": topic}}}
print(json.dumps({"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})}))
PY
    aws sqs set-queue-attributes --queue-url "$queue" --attributes "file://$work/attributes.json"
    aws sns subscribe --topic-arn "$topic" --protocol sqs --notification-endpoint "$arn" --return-subscription-arn --query SubscriptionArn --output text >"$work/subscription"
    # From a state that is not ALARM already. Its own next evaluation puts it right again.
    aws cloudwatch set-alarm-state --alarm-name "$alarm" --state-value OK --state-reason "smoke test"
    aws cloudwatch set-alarm-state --alarm-name "$alarm" --state-value ALARM --state-reason "smoke test"
    began=$SECONDS
    while ((SECONDS < began + 60)); do
        aws sqs receive-message --queue-url "$queue" --wait-time-seconds 10 --max-number-of-messages 10 --output json >"$work/messages.json"
        if grep -q 'ALARM' "$work/messages.json" && grep -q "$alarm" "$work/messages.json"; then
            aws cloudwatch set-alarm-state --alarm-name "$alarm" --state-value OK --state-reason "smoke test"
            echo "$alarm arrived after $((SECONDS - began)) s"
            return
        fi
    done
    fail "$alarm did not arrive in 60 s"
}

long_generation_is_handed_over() {
    needs_aws
    [[ -n $is_long ]] || skip "only with --long"
    local id began seconds count
    began=$SECONDS
    id=$(start "Write the numbers from 1 to 20000 in English words, one in a line. Leave none out, and do not stop before the last." "$long_request")
    ended "$id" "$long_seconds_max"
    seconds=$((SECONDS - began))
    whole "$id"
    count=$(aws logs filter-log-events --log-group-name "/aws/lambda/$stack-stream" --start-time $(($(date +%s) * 1000 - seconds * 1000 - 60000)) \
        --filter-pattern "{ \$.generation = \"$id\" && \$.stopped = \"handed_over\" }" --query 'length(events)' --output json)
    ((count > 0)) || fail "$id ended after $seconds s without a hand-over: give a longer request, or a slower model"
    ((seconds >= long_seconds_min)) || fail "$id was handed over $count times, but ended after $seconds s: give a longer request, or a slower model"
    echo "whole after $seconds s, handed over $count times"
}

stack_is_deleted() {
    [[ -n $is_deleted ]] || skip "only with --delete"
    needs_aws
    local began=$SECONDS
    sam delete --stack-name "$stack" --region "$region" --no-prompts
    ! aws cloudformation describe-stacks --stack-name "$stack" >/dev/null 2>&1 || fail "the stack is still there"
    echo "deleted after $((SECONDS - began)) s; docs/deploy.md has what is retained"
}

# Removes what this script created on AWS.
clean_up() {
    [[ ! -s $work/subscription ]] || aws sns unsubscribe --subscription-arn "$(cat "$work/subscription")" || true
    [[ ! -s $work/queue ]] || aws sqs delete-queue --queue-url "$(cat "$work/queue")" || true
    [[ ! -s $work/new-key.json ]] || longhand keys revoke --aws --organization smoke "$(json "it['id']" <"$work/new-key.json")" >/dev/null || true
    rm -f "$work"/{subscription,queue,new-key.json}
}

finish() {
    clean_up
    rm -rf "$work"
}
trap finish EXIT

# Sourced, by a test of one of the checks.
[[ ${BASH_SOURCE[0]} == "$0" ]] || return 0

check "stack" stack_is_there
# Nothing else is possible without these.
if ((failed == 0)); then
    LONGHAND_BUFFER_TABLE=$(output BufferTable) LONGHAND_RECORDS_TABLE=$(output RecordsTable) LONGHAND_BUCKET=$(output Bucket)
    export LONGHAND_BUFFER_TABLE LONGHAND_RECORDS_TABLE LONGHAND_BUCKET
    check "API" api_is_up
    check "API key" key_is_made
fi
if ((failed == 0)); then
    check "callers without a key" strangers_are_refused
    check "a generation" generation_completes
    if [[ -s $work/completed ]]; then
        check "empty answer: 204" no_content_ends
        check "empty answer: 304" not_modified_ends
        check "empty answer: HEAD" head_ends
    fi
    check "live events" live_events_arrive
    check "a reader that leaves" reader_that_leaves_is_let_go
    check "an alarm" alarm_arrives
    check "a generation of 20 minutes" long_generation_is_handed_over
    clean_up
    check "deletion" stack_is_deleted
fi
echo "$passed ok, $failed FAILED, $skipped SKIPPED"
((failed == 0))
