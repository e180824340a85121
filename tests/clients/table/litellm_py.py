"""LiteLLM as a library: `openai/…` with another base URL, by chat completions and by the Responses API."""

import json
import os

# Otherwise it fetches the prices of models at its import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from table import KEY, MODEL, URL, Place, errors, parsed, second_turn, streamed, table, used_tool, weather

litellm.telemetry = False
litellm.suppress_debug_info = True
# For the Responses API it asks for no stream, and makes one of the whole answer, where it does not know the model.
litellm.register_model({f"openai/{MODEL}": {"litellm_provider": "openai", "mode": "chat", "supports_native_streaming": True}})

HOLA = {"role": "user", "content": "Hola"}
AND = {"role": "user", "content": "¿Y?"}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "weather", "description": weather.__doc__, "parameters": PARAMETERS}
SERVER = {"api_base": URL, "api_key": KEY, "max_retries": 0}


def complete(messages, model=MODEL, **options):
    return litellm.completion(f"openai/{model}", messages, **SERVER, **options)


def chat_stream():
    return streamed(chunk.choices[0].delta.content for chunk in complete([HOLA], stream=True))


def chat_tools():
    tools = [{"type": "function", "function": FUNCTION}]
    message = complete([HOLA], tools=tools).choices[0].message
    (call,) = message.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": weather(**json.loads(call.function.arguments))}
    used_tool(complete([HOLA, message, result], tools=tools).choices[0].message.content)


def chat_structured():
    parsed(Place.model_validate_json(complete([HOLA], response_format=Place).choices[0].message.content))


def chat_second_turn():
    second_turn(complete([HOLA, complete([HOLA]).choices[0].message, AND]).choices[0].message.content)


def respond(input, model=MODEL, **options):
    return litellm.responses(input, f"openai/{model}", **SERVER, **options)


def responses_stream():
    events = respond("Hola", stream=True)
    return streamed(event.delta for event in events if event.type == "response.output_text.delta")


def responses_tools():
    tools = [{"type": "function", **FUNCTION}]
    first = respond("Hola", tools=tools)
    (call,) = (item for item in first.output if item.type == "function_call")
    result = {"type": "function_call_output", "call_id": call.call_id, "output": weather(**json.loads(call.arguments))}
    used_tool(respond([result], tools=tools, previous_response_id=first.id).output_text)


def responses_structured():
    parsed(Place.model_validate_json(respond("Hola", text_format=Place).output_text))


def responses_second_turn():
    second_turn(respond("¿Y?", previous_response_id=respond("Hola").id).output_text)
    return "previous_response_id"


refusals = litellm.RateLimitError, litellm.NotFoundError
table(
    "LiteLLM, chat completions",
    "litellm",
    {
        "stream": chat_stream,
        "tools": chat_tools,
        "structured": chat_structured,
        "second_turn": chat_second_turn,
        **errors(lambda model: complete([HOLA], model), *refusals),
    },
)
table(
    "LiteLLM, Responses",
    "litellm",
    {
        "stream": responses_stream,
        "tools": responses_tools,
        "structured": responses_structured,
        "second_turn": responses_second_turn,
        **errors(lambda model: respond("Hola", model), *refusals),
    },
)
