"""What schemathesis cannot know of the API. tests/it/openapi_fuzz.rs has it loaded."""

import schemathesis
from schemathesis.openapi.checks import EnsureResourceAvailability

unstored = set()


@schemathesis.hook
def after_call(context, case, response):
    """Keeps in mind the responses that were asked for with `store: false`."""
    if response.status_code == 200 and isinstance(case.body, dict) and case.body.get("store") is False:
        if response.headers["content-type"] == ["application/json"]:
            unstored.add(response.json()["id"])


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """They were created and cannot be retrieved, so that 404 is the right answer."""
    return not (isinstance(failure, EnsureResourceAvailability) and case.path_parameters["id"] in unstored)
