"""LlamaIndex: OpenAILike for chat completions, since OpenAI refuses unknown names of models, and OpenAIResponses."""

import openai
from llama_index.core.llms import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from table import KEY, MODEL, URL, Place, errors, parsed, second_turn, streamed, table, used_tool, weather

HOLA, AND = ChatMessage("Hola"), ChatMessage("¿Y?")
TOOL = FunctionTool.from_defaults(weather)


def rows(name, package, kind, structures, **options):
    def llm(model=MODEL, **more):
        return kind(model=model, api_base=URL, api_key=KEY, max_retries=0, context_window=8192, **options, **more)

    def stream():
        return streamed(part.delta for part in llm().stream_chat([HOLA]))

    def tools():
        one, history = llm(), [HOLA]
        answer = one.chat_with_tools([TOOL], chat_history=list(history))
        (call,) = one.get_tool_calls_from_response(answer)
        result = ChatMessage(
            role="tool",
            content=TOOL.call(**call.tool_kwargs).content,
            additional_kwargs={"tool_call_id": call.tool_id},
        )
        used_tool(one.chat_with_tools([TOOL], chat_history=[*history, answer.message, result]).message.content)

    def structured():
        for more in structures.values():
            parsed(llm(**more).structured_predict(Place, PromptTemplate("Hola")))
        return "; ".join(structures)

    def turns():
        one = llm()
        second_turn(one.chat([HOLA, one.chat([HOLA]).message, AND]).message.content)
        if kind is OpenAILike:
            return "messages"
        one = llm(track_previous_responses=True)
        one.chat([HOLA])
        second_turn(one.chat([AND]).message.content)
        return "messages; previous_response_id"

    features = {
        "stream": stream,
        "tools": tools,
        "structured": structured,
        "second_turn": turns,
        **errors(lambda model: llm(model).chat([HOLA]), openai.RateLimitError, openai.NotFoundError),
    }
    table(f"LlamaIndex, {name}", package, features)


rows(
    "chat completions",
    "llama-index-llms-openai-like",
    OpenAILike,
    {"tool": {}, "json_schema": {"should_use_structured_outputs": True}},
    is_chat_model=True,
    is_function_calling_model=True,
)
rows("Responses", "llama-index-llms-openai", OpenAIResponses, {"json_schema": {}})
