"""OpenAI's own Python client against Longhand: nothing but its base URL and its key are changed.

Called by tests/it/official_clients.rs, which says in the environment where the stack is and which text is to be expected.
"""

import hashlib
import os
import threading
import time

import httpx2 as httpx
import openai
from openai import OpenAI
from pydantic import BaseModel

BASE, CUT, DROP = (os.environ[name] for name in ("LONGHAND_URL", "LONGHAND_CUT_URL", "LONGHAND_DROP_URL"))
SHA256, KEY = os.environ["LONGHAND_TEXT_SHA256"], os.environ["LONGHAND_API_KEY"]
CUTS = 20
DELTA = "response.output_text.delta"

requests = []
hooks = {"request": [lambda request: requests.append(request)]}
client = OpenAI(base_url=BASE, api_key=KEY, http_client=httpx.Client(event_hooks=hooks, timeout=60))


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def text_of(events):
    return "".join(event.delta for event in events if event.type == DELTA)


def plain(response):
    """A response as JSON, without what the helpers add."""

    def strip(value):
        if isinstance(value, dict):
            return {k: strip(v) for k, v in value.items() if k not in ("parsed", "parsed_arguments", "output_parsed")}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return strip(response.to_dict(mode="json"))


def ended(response_id):
    while True:
        response = client.responses.retrieve(response_id)
        if response.status not in ("queued", "in_progress"):
            return response
        time.sleep(0.02)


def raises(kind, call):
    before = len(requests)
    try:
        call()
    except kind as error:
        assert len(requests) == before + 1, "it was tried again"
        return error
    raise AssertionError(f"no {kind.__name__}")


def background_and_poll():
    # Its provider never finishes, so an answer that waited for that would not come.
    waiting = client.responses.create(model="stall/m", input="Hola", background=True)
    assert waiting.status == "queued" and client.responses.cancel(waiting.id).status == "cancelled", waiting
    created = client.responses.create(model="text/m", input="Hola", background=True)
    assert created.status == "queued" and created.output == [] and created._request_id, created
    while not (partial := client.responses.retrieve(created.id)).output_text:
        time.sleep(0.02)
    assert partial.status == "in_progress", partial.status
    final = ended(created.id)
    assert final.status == "completed" and digest(final.output_text) == SHA256
    assert final.output_text.startswith(partial.output_text)
    assert final.usage.output_tokens > 0 and final.completed_at


def stream_and_cuts():
    seen, cuts = [], []
    stream = client.responses.create(model="text/m", input="Hola", background=True, stream=True)
    response_id = next(stream).response.id
    stream.close()
    cutting = OpenAI(base_url=CUT, api_key=KEY, max_retries=0)
    while not seen or seen[-1].type != "response.completed":
        after = {"starting_after": seen[-1].sequence_number} if seen else {}
        try:
            for event in cutting.responses.retrieve(response_id, stream=True, **after):
                seen.append(event)
        except (openai.APIConnectionError, httpx.HTTPError):
            cuts.append(len(seen))
    assert len(cuts) == CUTS and len(set(cuts)) >= CUTS / 2, cuts
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert digest(text_of(seen)) == SHA256
    final = seen[-1].response
    assert plain(final) == plain(client.responses.retrieve(response_id))
    return response_id, [event.to_dict(mode="json") for event in seen]


def readers_and_helpers(response_id, seen):
    readers, told = [], {}
    for name in ("one", "other"):
        read = lambda name=name: told.update({name: list(client.responses.retrieve(response_id, stream=True))})
        readers.append(threading.Thread(target=read))
    [reader.start() for reader in readers]
    [reader.join() for reader in readers]
    assert [event.to_dict(mode="json") for event in told["one"]] == seen
    assert [event.to_dict(mode="json") for event in told["other"]] == seen
    retrieved = plain(client.responses.retrieve(response_id))
    for after in ({}, {"starting_after": len(seen) // 2}):
        with client.responses.stream(response_id=response_id, **after) as stream:
            numbers = [event.sequence_number for event in stream]
            assert plain(stream.get_final_response()) == retrieved
        assert numbers == list(range(after.get("starting_after", -1) + 1, len(seen)))
    with client.responses.stream(model="text/m", input="Hola", background=True) as stream:
        assert digest(stream.get_final_response().output_text) == SHA256


def two_readers_live():
    created = client.responses.create(model="text/m", input="Hola", background=True, stream=True)
    mine = [next(created)]
    others = list(client.responses.retrieve(mine[0].response.id, stream=True))
    mine += list(created)
    assert [event.to_dict() for event in mine] == [event.to_dict() for event in others]


def cancel():
    stream = client.responses.create(model="stall/m", input="Hola", background=True, stream=True)
    events = [next(stream) for _ in range(5)]
    response_id = events[0].response.id
    cancelled = client.responses.cancel(response_id)
    events += list(stream)
    assert (events[-1].type, events[-1].response.status) == ("response.failed", "cancelled")
    assert cancelled.status == "cancelled" and plain(client.responses.cancel(response_id)) == plain(cancelled)
    assert plain(client.responses.retrieve(response_id)) == plain(cancelled) == plain(events[-1].response)


def errors(completed_id):
    error = raises(openai.BadRequestError, lambda: client.responses.cancel(completed_id))
    assert error.body["message"] == "Cannot cancel a completed response.", error.body
    error = raises(openai.NotFoundError, lambda: client.responses.retrieve("resp_nothing"))
    assert error.body["message"] == "Response with id 'resp_nothing' not found." and error.request_id
    error = raises(openai.BadRequestError, lambda: client.responses.create(model="text/m", input="x", temperature=9))
    assert error.param == "temperature" and error.type == "invalid_request_error", error.body
    unstored = lambda: client.responses.create(model="text/m", input="x", background=True, store=False)
    assert raises(openai.BadRequestError, unstored).code == "unsupported_parameter"
    nowhere = lambda: client.post("/nowhere", cast_to=object)
    assert raises(openai.NotFoundError, nowhere).code == "unknown_url"


def models():
    assert "text/m" in [model.id for model in client.models.list()]
    assert client.models.retrieve("text/m").owned_by == "text"
    error = raises(openai.NotFoundError, lambda: client.models.retrieve("text/none"))
    assert (error.code, error.param) == ("model_not_found", "model"), error.body


def input_items(completed_id):
    messages = [{"role": "user", "content": word} for word in ("uno", "dos", "tres")]
    created = client.responses.create(model="json/m", input=messages, background=True)
    listed = list(client.responses.input_items.list(created.id, limit=1, order="asc"))
    assert [item.content[0].text for item in listed] == ["uno", "dos", "tres"]
    listed = list(client.responses.input_items.list(created.id, limit=1))
    assert [item.content[0].text for item in listed] == ["tres", "dos", "uno"]
    assert client.responses.input_items.list(completed_id).data[0].content[0].text == "Hola"
    ended(created.id)
    client.responses.delete(created.id)
    raises(openai.NotFoundError, lambda: client.responses.retrieve(created.id))


class Place(BaseModel):
    city: str
    people: int


def structured_and_tools():
    parsed = client.responses.parse(model="json/m", input="¿Dónde?", text_format=Place).output_parsed
    assert parsed == Place(city="Sevilla", people=684000), parsed
    with client.responses.stream(model="json/m", input="¿Dónde?", text_format=Place) as stream:
        assert stream.get_final_response().output_parsed == parsed
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
    with client.responses.stream(model="made/tool", input="x", tools=[tool]) as stream:
        call = stream.get_final_response().output[0]
    assert (call.type, call.name, call.call_id, call.arguments) == ("function_call", "f", "c1", '{"a":1}'), call


def an_interrupted_attempt():
    with client.responses.stream(model="made/flaky-py", input="x") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.in_progress") == 2 and final.output_text == "Howdy", (kinds, final.output_text)
    assert len(final.output) == 1


def an_attempt_that_goes_on():
    with client.responses.stream(model="steady/flaky-on-py", input="x") as stream:
        events = list(stream)
        final = stream.get_final_response()
    kinds = [event.type for event in events]
    assert kinds.count("response.in_progress") == 2 and kinds.count("response.output_item.added") == 1, kinds
    assert text_of(events) == final.output_text == "Hello" and len(final.output) == 1, final.output_text


def a_retry_is_no_second_response():
    dropped = OpenAI(base_url=DROP, api_key=KEY)
    response = dropped.responses.create(model="once/m", input="py", background=True)
    assert ended(response.id).status == "completed"


def heartbeats():
    events = list(client.responses.create(model="late/m", input="py", stream=True))
    assert events[-1].type == "response.completed"


def foreground():
    response = client.responses.create(model="text/m", input="Hola")
    assert response.status == "completed" and digest(response.output_text) == SHA256
    second = client.responses.create(model="text/m", input="¿Y?", previous_response_id=response.id)
    assert second.status == "completed" and second.previous_response_id == response.id
    reference = {"type": "item_reference", "id": response.output[0].id}
    third = client.responses.create(model="text/m", input=[{"role": "user", "content": "Hola"}, reference, {"role": "user", "content": "¿Y?"}])
    assert third.status == "completed" and digest(third.output_text) == SHA256


def chat_completions():
    class City(BaseModel):
        city: str
        people: int

    completions, hello = client.chat.completions, [{"role": "user", "content": "Hola"}]
    whole = completions.create(model="text/m", messages=hello)
    assert digest(whole.choices[0].message.content) == SHA256 and whole.choices[0].finish_reason == "stop"
    chunks = list(completions.create(model="text/m", messages=hello, stream=True, stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert digest(text) == SHA256 and chunks[-1].usage.completion_tokens > 0
    parsed = completions.parse(model="json/m", messages=hello, response_format=City)
    assert parsed.choices[0].message.parsed.people == 684000
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    call = completions.create(model="made/tool", messages=hello, tools=tools).choices[0].message
    assert call.tool_calls[0].function.arguments == '{"a":1}' and call.content is None
    result = {"role": "tool", "tool_call_id": call.tool_calls[0].id, "content": "1"}
    with completions.stream(model="text/m", messages=[*hello, call, result]) as stream:
        assert digest(stream.get_final_completion().choices[0].message.content) == SHA256
    assert raises(openai.BadRequestError, lambda: completions.create(model="text/m", messages=hello, n=2)).param == "n"


waiting = threading.Thread(target=heartbeats)
waiting.start()
with client.responses.stream(model="late/m", input="py") as late:
    background_and_poll()
    completed, events = stream_and_cuts()
    readers_and_helpers(completed, events)
    two_readers_live()
    cancel()
    structured_and_tools()
    an_interrupted_attempt()
    an_attempt_that_goes_on()
    a_retry_is_no_second_response()
    foreground()
    chat_completions()
    assert late.get_final_response().status == "completed"
waiting.join()
errors(completed)
models()
input_items(completed)
print(f"ok: openai {openai.__version__}, {len(events)} events, {CUTS} cuts, {len(requests)} requests")
