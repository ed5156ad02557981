"""What the OpenAPI document promises holds for requests that a machine makes up from it, good and bad, and
for damaged pictures.
"""

import contextlib

import hypothesis
import numpy as np
import pytest
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from benchmarks.fuzz_uploads import KINDS, corpus, mutated
from facemorph.export import Export
from tests.helpers import exports
from web import server
from web.shelf import Shelf

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    page = tmp_path_factory.mktemp("page")
    (page / "index.html").write_text("<!doctype html>")
    return server.create(Shelf(exports.shared() / "data/export"), page, ("testserver",))


codes = np.random.default_rng(0)


@pytest.fixture(scope="session")
def good() -> str:
    """A code that this model can decode."""
    return server.pack(Export(exports.shared() / "data/export").sample(1, 1.0))


def with_codes(value, good):
    """Two in three of the made-up codes replaced by a real one: a machine would never guess one, and what
    lies behind would stay untried.
    """
    if isinstance(value, dict):
        return {
            key: good if key in ("code", "direction") and codes.random() < 0.67 else with_codes(inner, good)
            for key, inner in value.items()
        }
    return [with_codes(inner, good) for inner in value] if isinstance(value, list) else value


def test_no_request_breaks_a_promise(guarded, good):
    schema = schemathesis.openapi.from_asgi("/openapi.json", guarded)
    tried = []
    for operation in (result.ok() for result in schema.get_all_operations()):
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

            @hypothesis.settings(
                max_examples=8,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(hypothesis.HealthCheck),
            )
            @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
            def ask(case):
                case.body = with_codes(case.body, good)
                case.call_and_validate(checks=CHECKS)

            with contextlib.suppress(
                hypothesis.errors.Unsatisfiable
            ):  # a request without parameters cannot be wrong
                ask()
        tried.append(operation.label)
    assert {
        "POST /api/sample",
        "POST /api/edit",
        "POST /api/morph",
        "POST /api/render",
        "POST /api/encode",
        "GET /api/model",
    } <= set(tried)


def test_damaged_pictures_are_shrugged_off(guarded):
    """A short version of benchmarks/fuzz_uploads.py."""
    with TestClient(guarded, base_url="http://127.0.0.1") as client:

        def upload(content, kind="image/png"):
            return client.post("/api/encode", content=content, headers={"content-type": kind}).status_code

        statuses = [upload(content, KINDS[number % 3]) for number, content in enumerate(mutated(150, seed=2))]
        assert set(statuses) <= {200, 413, 415, 422} and {200, 422} <= set(statuses)
        assert {upload(content) for content in corpus()} == {200}
