"""What the Python clients of the table share.

Each client's script is run by itself, with the stack's address in LONGHAND_URL and a key in LONGHAND_API_KEY, and prints a line of JSON
for each feature. The provider behind the models always says the same; see what the features expect.
"""

import json
import os
from importlib.metadata import version
from operator import attrgetter

from pydantic import BaseModel

URL, KEY = os.environ["LONGHAND_URL"], os.environ["LONGHAND_API_KEY"]
MODEL, LIMITED, ABSENT = "table/m", "table/limited", "table/absent"
FEATURES = ("stream", "tools", "structured", "second_turn", "error_429", "error_404")


class Place(BaseModel):
    """A city."""

    city: str
    people: int


def weather(city: str) -> str:
    """The weather in a city."""
    assert city == "Sevilla", city
    return "sunny"


def streamed(deltas):
    deltas = [delta for delta in deltas if delta]
    equal("".join(deltas), "Uno, dos, tres.")
    assert len(deltas) > 1, "one delta"
    return f"{len(deltas)} deltas"


def used_tool(text):
    equal(text, "It is sunny")


def parsed(place):
    # Instructor makes objects of a subclass.
    assert isinstance(place, Place), place
    equal(place.model_dump(), {"city": "Sevilla", "people": 684000})


def second_turn(text):
    """The answer to any second turn, where the first was `Hola`."""
    equal(text, "You said: Hola")


def equal(actual, expected):
    assert actual == expected, f"{actual!r}"


def refused(ask, model, kind, status, sentence, status_of):
    """Whether the client raises its own error, with the status and the provider's own sentence."""
    try:
        answer = ask(model)
    except kind as error:
        equal(status_of(error), status)
        assert sentence in str(error), str(error)
        return f"{type(error).__name__}: {error}"
    raise AssertionError(f"no {kind.__name__} but {answer!r}")


def errors(ask, too_many, not_found, status_of=attrgetter("status_code")):
    """The features of the errors, of a client that asks a model by `ask` and does not try again."""
    absent = "The model `absent` does not exist."
    return {
        "error_429": lambda: refused(ask, LIMITED, too_many, 429, "Slow down, please.", status_of),
        "error_404": lambda: refused(ask, ABSENT, not_found, 404, absent, status_of),
    }


def table(client, package, features):
    """Runs the features, and prints what came of them. One that fails does not stop the others."""
    for feature in FEATURES:
        ok, detail = None, "not a feature of this client"
        if feature in features:
            try:
                ok, detail = True, features[feature]() or ""
            except Exception as error:
                ok, detail = False, f"{type(error).__name__}: {error}"
        line = {"client": client, "version": version(package), "feature": feature, "ok": ok, "detail": detail}
        print(json.dumps(line, ensure_ascii=False), flush=True)
