"""LangChain's ChatOpenAI: its default, chat completions, and the Responses API."""

from langchain_core.exceptions import ModelNotFoundError, ModelRateLimitError
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from table import KEY, MODEL, URL, Place, errors, parsed, second_turn, streamed, table, used_tool, weather

weather_tool = tool(weather)


def rows(name, **options):
    def llm(model=MODEL, **more):
        return ChatOpenAI(model=model, base_url=URL, api_key=KEY, max_retries=0, **options, **more)

    def stream():
        return streamed(chunk.text for chunk in llm().stream("Hola"))

    def tools():
        bound, messages = llm().bind_tools([weather_tool]), [HumanMessage("Hola")]
        messages.append(bound.invoke(messages))
        messages += [weather_tool.invoke(call) for call in messages[-1].tool_calls]
        used_tool(bound.invoke(messages).text)

    def structured():
        parsed(llm().with_structured_output(Place).invoke("Hola"))
        parsed(llm().with_structured_output(Place, method="function_calling").invoke("Hola"))
        return "json_schema; function_calling"

    def turns():
        ways = [{}, {"use_previous_response_id": True}] if options else [{}]
        for way in ways:
            model, messages = llm(**way), [HumanMessage("Hola")]
            second_turn(model.invoke([*messages, model.invoke(messages), HumanMessage("¿Y?")]).text)
        return "messages; previous_response_id" if options else "messages"

    features = {
        "stream": stream,
        "tools": tools,
        "structured": structured,
        "second_turn": turns,
        **errors(lambda model: llm(model).invoke("Hola"), ModelRateLimitError, ModelNotFoundError),
    }
    table(f"langchain-openai, {name}", "langchain-openai", features)


rows("chat completions")
rows("Responses", use_responses_api=True)
