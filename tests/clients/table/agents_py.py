"""OpenAI's Agents SDK: its default, the Responses API, and chat completions."""

import asyncio

import openai
from agents import Agent, OpenAIProvider, RunConfig, Runner, SQLiteSession, function_tool
from table import KEY, MODEL, URL, Place, errors, parsed, second_turn, streamed, table, used_tool, weather

# The provider has no setting for retries, so it gets OpenAI's client, with the base URL and the key. Tracing would send to OpenAI.
client = openai.AsyncOpenAI(base_url=URL, api_key=KEY, max_retries=0)
weather_tool = function_tool(weather)


def rows(name, use_responses):
    config = RunConfig(
        model_provider=OpenAIProvider(openai_client=client, use_responses=use_responses),
        tracing_disabled=True,
    )

    async def run(input="Hola", *, model=MODEL, tools=(), output_type=None, **options):
        agent = Agent("a", model=model, tools=list(tools), output_type=output_type)
        return await Runner.run(agent, input, run_config=config, **options)

    async def stream():
        result = Runner.run_streamed(Agent("a", model=MODEL), "Hola", run_config=config)
        events = [event.data async for event in result.stream_events() if event.type == "raw_response_event"]
        return streamed(event.delta for event in events if event.type == "response.output_text.delta")

    async def tools():
        used_tool((await run(tools=[weather_tool])).final_output)
        if use_responses:
            used_tool((await run(tools=[weather_tool], auto_previous_response_id=True)).final_output)

    async def structured():
        parsed((await run(output_type=Place)).final_output)

    async def turns():
        first = await run()
        second_turn((await run([*first.to_input_list(), {"role": "user", "content": "¿Y?"}])).final_output)
        session = SQLiteSession("s")
        await run(session=session)
        second_turn((await run("¿Y?", session=session)).final_output)
        if not use_responses:
            return "input list; session"
        second_turn((await run("¿Y?", previous_response_id=first.last_response_id)).final_output)
        return "input list; session; previous_response_id"

    # One loop for all, because the client's connections belong to the loop that made them.
    wait = loop.run_until_complete
    features = {
        "stream": lambda: wait(stream()),
        "tools": lambda: wait(tools()),
        "structured": lambda: wait(structured()),
        "second_turn": lambda: wait(turns()),
        **errors(lambda model: wait(run(model=model)), openai.RateLimitError, openai.NotFoundError),
    }
    table(f"openai-agents (Python), {name}", "openai-agents", features)


loop = asyncio.new_event_loop()
rows("Responses", True)
rows("chat completions", False)
