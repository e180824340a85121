"""OpenAI's own Python client, with both APIs."""

import json

import openai
from table import KEY, MODEL, URL, Place, errors, parsed, second_turn, streamed, table, used_tool, weather

client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)
completions, responses = client.chat.completions, client.responses

HOLA = {"role": "user", "content": "Hola"}
AND = {"role": "user", "content": "¿Y?"}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": weather.__doc__, "parameters": PARAMETERS, "strict": True}


def chat(messages, model=MODEL, **options):
    return completions.create(model=model, messages=messages, **options).choices[0].message


def chat_stream():
    chunks = completions.create(model=MODEL, messages=[HOLA], stream=True)
    return streamed(choice.delta.content for chunk in chunks for choice in chunk.choices)


def chat_tools():
    tools = [{"type": "function", "function": FUNCTION}]
    message = chat([HOLA], tools=tools)
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))}
    used_tool(chat([HOLA, message, result], tools=tools).content)


def chat_structured():
    parsed(completions.parse(model=MODEL, messages=[HOLA], response_format=Place).choices[0].message.parsed)


def chat_second_turn():
    second_turn(chat([HOLA, chat([HOLA]), AND]).content)


def respond(input, model=MODEL, **options):
    return responses.create(model=model, input=input, **options)


def responses_stream():
    events = respond("Hola", stream=True)
    return streamed(event.delta for event in events if event.type == "response.output_text.delta")


def responses_tools():
    tools = [{"type": "function", **FUNCTION}]
    first = respond("Hola", tools=tools)
    (call,) = (item for item in first.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": weather(**json.loads(call.arguments))}
    used_tool(respond([HOLA, *first.output, result], tools=tools).output_text)
    used_tool(respond([result], tools=tools, previous_response_id=first.id).output_text)


def responses_structured():
    parsed(responses.parse(model=MODEL, input="Hola", text_format=Place).output_parsed)


def responses_second_turn():
    first = respond("Hola")
    second_turn(respond("¿Y?", previous_response_id=first.id).output_text)
    second_turn(respond([HOLA, *first.output, AND]).output_text)
    return "previous_response_id; the items of the first"


refusals = openai.RateLimitError, openai.NotFoundError
table(
    "openai (Python), chat completions",
    "openai",
    {
        "stream": chat_stream,
        "tools": chat_tools,
        "structured": chat_structured,
        "second_turn": chat_second_turn,
        **errors(lambda model: chat([HOLA], model), *refusals),
    },
)
table(
    "openai (Python), Responses",
    "openai",
    {
        "stream": responses_stream,
        "tools": responses_tools,
        "structured": responses_structured,
        "second_turn": responses_second_turn,
        **errors(lambda model: respond("Hola", model), *refusals),
    },
)
