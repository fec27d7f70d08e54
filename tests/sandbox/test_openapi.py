"""Requests that nobody thought of, made by schemathesis from a description of the routes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bulkupdate.sandbox import made_up_team
from tests.support.commands import serving

#: What holds for each answer, whatever was asked.
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance," + (
    "response_schema_conformance"
)

TEXT = {"type": "string"}
TEXTS = {"type": "array", "items": TEXT}
MOMENT = {"type": "string", "format": "date-time"}
URLS = {"type": "array", "items": {"type": "string", "format": "uri"}}
TASK = {
    "type": "object",
    "required": ["_id", "type", "status"],
    "properties": {
        **dict.fromkeys(("_id", "type", "leadId", "campaignId", "contactId", "userId"), TEXT),
        **dict.fromkeys(("title", "content"), TEXT),
        **dict.fromkeys(("images", "videos"), TEXTS),
        **dict.fromkeys(("dueDate", "createdAt", "completedAt"), MOMENT),
        "status": {"enum": ["pending", "completed", "ignored"]},
        "priority": {"enum": [0, 1, 2, "", None]},
    },
}
CHANGES = {
    **dict.fromkeys(("assignedTo", "title", "message"), TEXT),
    **dict.fromkeys(("images", "videos"), URLS),
    "dueDate": MOMENT,
    "priority": {"enum": ["", "0", "1", "2"]},
    "done": {"type": "boolean"},
}
ERROR = {
    "description": "refused",
    "content": {"text/plain": {"schema": TEXT}, "application/json": {"schema": {"type": "object"}}},
}


def operation(answer: dict[str, Any], *statuses: int, **rest: Any) -> dict[str, Any]:
    """An operation that answers JSON of this schema, or refuses with one of these statuses."""
    found = {"description": "found", "content": {"application/json": {"schema": answer}}}
    refused = {str(status): ERROR for status in (400, 401, 405, *statuses)}
    return {"responses": {"200": found, **refused}, **rest}


def body(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    """A request with a JSON object of these properties."""
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def parameters(where: str, **schemas: Any) -> dict[str, Any]:
    """Parameters in the query or in the path."""
    required = where == "path"
    described = [
        {"name": name, "in": where, "required": required, "schema": schema}
        for name, schema in schemas.items()
    ]
    return {"parameters": described}


def wanted(names: tuple[str, ...], **values: Any) -> dict[str, Any]:
    """One of these filters, with these values."""
    properties = {"filterId": {"enum": list(names)}, **values}
    return {"type": "object", "properties": properties, "required": list(properties)}


def description() -> dict[str, Any]:
    """The routes of the sandbox in OpenAPI, as its documentation describes them."""
    team = made_up_team()
    members = {**TEXT, "enum": [*list(team.users)[:2], "usr_none"]}
    known = {**TEXT, "enum": [*list(team.tasks)[:8], "opp_none"]}
    day = {**TEXT, "format": "date"}
    lead = ("fullName", "email", "phone", "linkedin")
    lists = ("campaignId", "campaignState", "type", "assignedTo")
    filters = [
        wanted(lead, value=TEXT),
        wanted(lead, regex={"enum": ["^A", "(", "*", "[a"]}),
        wanted(lists, **{"in": TEXTS, "out": TEXTS}),
        wanted(("dueDate",), **{"from": day, "to": day}),
        wanted(("status",), value=TEXT),
    ]
    listed = {
        "type": "object",
        "required": ["results", "page"],
        "properties": {"results": {"type": "array", "items": TASK}, "page": TEXT},
    }
    listing = parameters("query", page={"type": "integer"})
    schema = {"type": "array", "items": {"oneOf": filters}}
    content = {"application/json": {"schema": schema}}
    listing["parameters"].append({"name": "filters", "in": "query", "content": content})
    created = body({**CHANGES, "type": TEXT}, "type", "assignedTo", "dueDate")
    version = parameters("query", version={"enum": ["v2", "v3"]})
    state = parameters("query", state={"enum": ["running", "paused", "none"]})
    sender = {"type": "object", "required": ["userId", "campaigns"]}
    senders = {"type": "array", "items": sender}
    user = {"type": "object", "required": ["_id", "email", "role", "firstName", "lastName"]}
    return {
        "openapi": "3.0.3",
        "info": {"title": "The sandbox", "version": "1"},
        "paths": {
            "/tasks": {
                "get": operation(listed, **listing),
                "post": operation(TASK, 422, **created),
                "patch": operation(TASK, 404, 422, **body({**CHANGES, "id": known}, "id")),
            },
            "/tasks/ignore": {
                "post": operation(
                    {"type": "object", "maxProperties": 0},
                    **body({"ids": {"type": "array", "items": known}}, "ids"),
                )
            },
            "/team": {"get": operation({"type": "object", "required": ["_id"]}, **version)},
            "/team/senders": {"get": operation(senders, **state)},
            "/users/{id}": {"get": operation(user, 404, **parameters("path", id=members))},
        },
    }


def schemathesis() -> str:
    """The program; the test is skipped without it.

    It is no dependency of the tests: it brings a server framework and two plugins of pytest, and
    this is its only use.
    """
    beside = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    path = shutil.which("schemathesis", path=beside)
    if path is None:
        pytest.skip("schemathesis is not installed: pip install schemathesis")
    return path


@pytest.mark.slow
def test_any_request_gets_a_documented_answer(tmp_path: Path) -> None:
    """Whatever is asked, the status, the type and the form of the answer are documented ones."""
    program = schemathesis()
    file = tmp_path / "sandbox.json"
    file.write_text(json.dumps(description()))
    key = aiohttp.encode_basic_auth("", "sandbox")
    flags = ["--checks", CHECKS, "--seed", "1", "-n", "15", "--no-color", "--continue-on-failure"]
    with serving("--rate", "none") as sandbox:
        done = subprocess.run(
            [program, "run", str(file), "-u", sandbox.url, "-H", f"Authorization: {key}", *flags],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-4000:]
