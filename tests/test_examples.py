"""The examples work, as they are."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import sys
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import pytest
from documents import IN_PYTEST
from fakes import ID, OTHER_ID
from fastapi.testclient import TestClient

from siteassist_async import ClientError, SiteAssist
from siteassist_async.emulator import Disconnect, Emulator, Status, conversation

pd: Any = import_module("pandas")  # which is without types
EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

import airflow_dag  # noqa: E402 - found in the folder that was added above
import celery_tasks  # noqa: E402 - as above
import dlt_pipeline  # noqa: E402 - as above
import evaluation_set  # noqa: E402 - as above
import fastapi_app  # noqa: E402 - as above
import lambda_handler  # noqa: E402 - as above
import ray_data  # noqa: E402 - as above
import spark_job  # noqa: E402 - as above

pytest_plugins = ["pytester"]


@pytest.fixture
def api(siteassist_environment: Emulator, monkeypatch: pytest.MonkeyPatch) -> Emulator:
    """The emulator, which the examples find by the environment."""
    monkeypatch.setattr(lambda_handler, "client", cache(SiteAssist))
    monkeypatch.setattr(celery_tasks, "client", cache(SiteAssist))
    return siteassist_environment


@pytest.mark.siteassist(messages=3)
@pytest.mark.usefixtures("siteassist_clock")
def test_fastapi(api: Emulator) -> None:
    """Typed responses, and a status of its own for each kind of error."""
    with TestClient(fastapi_app.app) as client:
        assert client.get(f"/conversations/{ID}").json()["messages"] == 3
        assert client.get(f"/conversations/{ID}/full").json()["object"] == "conversation"
        assert client.get("/conversations/7").status_code == 422
        api.outage = Disconnect()
        assert client.get(f"/conversations/{ID}").status_code == 503


def test_the_test_of_fastapi(pytester: pytest.Pytester) -> None:
    """As the page on testing shows it."""
    pytester.makepyfile((EXAMPLES / "test_fastapi_app.py").read_text())
    pytester.runpytest_inprocess(*IN_PYTEST).assert_outcomes(passed=6)


def test_lambda(api: Emulator) -> None:
    """Each invocation has an event loop, all have one client."""
    api.missing(OTHER_ID)
    assert lambda_handler.handler({"conversation_id": OTHER_ID}, None) == {"statusCode": 404}
    answer = lambda_handler.handler({"conversation_id": ID}, None)
    assert json.loads(str(answer["body"]))["id"] == ID


def test_workers(api: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks share an event loop, and so the connections; one that failed is tried again."""
    monkeypatch.setattr(celery_tasks, "_runner", cache(asyncio.Runner))
    for _ in range(2):
        titles = celery_tasks.run(celery_tasks.titles_of([ID, OTHER_ID]))
        assert titles.keys() == {ID, OTHER_ID}
    assert api.counters.connections <= 2
    api.missing(ID)
    assert celery_tasks.run(celery_tasks.titles_of([ID])) == {ID: None}
    api.script(OTHER_ID, *[Status(418)] * 2)
    with pytest.raises(ClientError):
        celery_tasks.run(celery_tasks.titles_of([ID, OTHER_ID]))
    celery_tasks.close()


def test_evaluation_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each question that was answered."""
    export = tmp_path / "conversations.jsonl"
    export.write_text(json.dumps(conversation(ID, messages=6)) + "\n")
    evaluation_set.main(export)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines
    assert all(line["question"] and line["answer"] for line in lines)
    assert [len(line["history"]) for line in lines] == sorted(
        len(line["history"]) for line in lines
    )


def test_dlt_gets_the_newest_of_each(tmp_path: Path) -> None:
    """As plain values."""
    export = tmp_path / "conversations.jsonl"
    lines = [conversation(ID, messages=number) for number in (1, 2)]
    export.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (row,) = dlt_pipeline.conversations(export)
    assert len(cast("list[object]", row["messages"])) == 2


@pytest.mark.siteassist(conversations=3)
async def test_notebook(api: Emulator) -> None:
    """Its cells run one after another in one event loop, as IPython runs them."""
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text())
    page = (EXAMPLES.parent / "docs" / "frameworks.md").read_text()
    namespace: dict[str, object] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert source in page
            code = compile(source, "notebook.ipynb", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            if (waiting := eval(code, namespace)) is not None:
                await waiting
    assert len(cast("list[object]", namespace["conversations"])) == 3
    assert sum(api.counters.ids.values()) == 3


def test_ray(api: Emulator) -> None:
    """What Ray Data calls, with NumPy's arrays; tried with Ray itself by hand."""
    api.missing(OTHER_ID)
    fetch = ray_data.Fetch()
    for _ in range(2):
        found = fetch({"id": pd.Series([ID, OTHER_ID]).to_numpy()})
        assert sorted(map(str, found["id"])) == sorted([ID, OTHER_ID])
        (record,), (error,) = (list(filter(None, found[name])) for name in ("record", "error"))
        assert json.loads(str(record))["id"] == ID
        assert "404" in str(error)
    assert api.counters.connections <= 2
    fetch.runner.run(fetch.client.close())
    fetch.runner.close()


def test_spark(api: Emulator) -> None:
    """What Spark calls, with its batches; tried with PySpark itself by hand."""
    api.missing(OTHER_ID)
    batches = [pd.DataFrame({"id": [ID]}), pd.DataFrame({"id": [OTHER_ID]})]
    (first, second) = spark_job.fetch(iter(batches))
    assert [column.split()[0] for column in spark_job.SCHEMA.split(", ")] == list(first.columns)
    assert json.loads(str(first["record"][0]))["id"] == ID
    assert "404" in str(second["error"][0])


@pytest.mark.siteassist(conversations=3)
def test_airflow(api: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It retries what another attempt can resume, and nothing else."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    airflow_dag.export(str(tmp_path / "conversations.jsonl"))
    assert len((tmp_path / "conversations.jsonl").read_text().splitlines()) == 3
    with pytest.raises(SystemExit):
        airflow_dag.export(str(tmp_path / "conversations.unknown"))
    del api
