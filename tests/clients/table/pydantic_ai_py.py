"""Pydantic AI with its two models of OpenAI's APIs."""

import asyncio

from openai import AsyncOpenAI
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelNotFoundError, ModelRateLimitError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from table import KEY, MODEL, URL, Place, errors, parsed, second_turn, streamed, table, used_tool, weather

# The provider has no setting for retries, so it gets OpenAI's client, with the base URL and the key.
provider = OpenAIProvider(openai_client=AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0))


def rows(name, kind):
    def agent(model=MODEL, **options):
        return Agent(kind(model, provider=provider), **options)

    async def run(prompt="Hola", *, model=MODEL, history=None, settings=None, **options):
        return await agent(model, **options).run(prompt, message_history=history, model_settings=settings)

    async def stream():
        async with agent().run_stream("Hola") as result:
            return streamed([delta async for delta in result.stream_text(delta=True, debounce_by=None)])

    async def tools():
        used_tool((await run(tools=[weather])).output)

    async def structured():
        parsed((await run(output_type=Place)).output)
        parsed((await run(output_type=NativeOutput(Place))).output)
        return "tool; json_schema"

    async def turns():
        first = await run()
        second_turn((await run("¿Y?", history=first.all_messages())).output)
        if kind is OpenAIChatModel:
            return "message history"
        settings = {"openai_previous_response_id": "auto"}
        second_turn((await run("¿Y?", history=first.all_messages(), settings=settings)).output)
        return "message history; previous_response_id"

    # One loop for all, because the client's connections belong to the loop that made them.
    wait = loop.run_until_complete
    features = {
        "stream": lambda: wait(stream()),
        "tools": lambda: wait(tools()),
        "structured": lambda: wait(structured()),
        "second_turn": lambda: wait(turns()),
        **errors(lambda model: wait(run(model=model)), ModelRateLimitError, ModelNotFoundError),
    }
    table(f"Pydantic AI, {name}", "pydantic-ai-slim", features)


loop = asyncio.new_event_loop()
rows("chat completions", OpenAIChatModel)
rows("Responses", OpenAIResponsesModel)
