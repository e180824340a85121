"""Instructor over OpenAI's client. All its answers are objects: it runs no tools, and a second turn is not its own."""

import instructor
import openai
from instructor.core.exceptions import InstructorRetryException
from table import KEY, MODEL, URL, Place, errors, parsed, table

client = openai.OpenAI(base_url=URL, api_key=KEY, max_retries=0)
HOLA = [{"role": "user", "content": "Hola"}]


def rows(name, *modes):
    clients = [instructor.from_openai(client, mode=mode) for mode in modes]

    def stream():
        partials = list(clients[0].create_partial(response_model=Place, messages=HOLA, model=MODEL))
        parsed(Place(**partials[-1].model_dump()))
        assert len({partial.model_dump_json() for partial in partials}) > 1, partials
        return f"{len(partials)} partial objects"

    def structured():
        for one in clients:
            parsed(one.create(response_model=Place, messages=HOLA, model=MODEL))
        return "; ".join(mode.value for mode in modes)

    def ask(model):
        return clients[0].create(response_model=Place, messages=HOLA, model=model, max_retries=0)

    def status_of(error):
        return error.__cause__.status_code

    # It has one error for whatever went wrong, around the error of OpenAI's client.
    kinds = InstructorRetryException, InstructorRetryException
    features = {"stream": stream, "structured": structured, **errors(ask, *kinds, status_of)}
    table(f"Instructor, {name}", "instructor", features)


rows("chat completions", instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA)
rows("Responses", instructor.Mode.RESPONSES_TOOLS)
