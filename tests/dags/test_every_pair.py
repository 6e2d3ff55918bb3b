"""Files from every kind of datastore to every kind: copied, ingested, published. A new type is in it by its rig."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from airflow.sdk import DAG

from airflow_azureml_datastores import Datastore, Input
from airflow_azureml_datastores.core.credentials import AccessToken, AccountKey, Anonymous, Credential, Identity
from airflow_azureml_datastores.core.place import Place as OpenPlace
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.hooks import WorkspaceHook
from airflow_azureml_datastores.operators import (
    CopyDatastoreOperator,
    IngestToExperimentOperator,
    PublishOutputsOperator,
)
from airflow_azureml_datastores.sensors import NewDataSensor
from airflow_azureml_datastores.transfer.copy import prepare_copy
from airflow_azureml_datastores.transfer.source import find_source
from tests.contract.rig import find_rigs
from tests.dags.conftest import WORKSPACE
from tests.dags.runs import run_dag

pytestmark = pytest.mark.xdist_group("pairs")

KINDS = [rig.name for rig in find_rigs()]

FILES = {
    "plain.csv": b"id,amount\n1,10\n",
    "empty": b"",
    "two words/100% + a&b=c;d,e.txt": b"odd",
    "a%20b/a#b": b"percent",
    "it's [1] {2} (3) ~x@y^z!$": b"signs",
    unicodedata.normalize("NFC", "Übergröße/データ.csv"): "größer".encode(),
    unicodedata.normalize("NFD", "é.csv"): b"decomposed",
    "🚀/👩‍👩‍👧.png": b"beyond the first plane",
    "d/" * 20 + "leaf": b"deep",
    "a-b": b"before what is in a",
    "a/b": b"in a",
    "a0": b"after what is in a",
    "two parts.bin": bytes(range(256)) * (9 << 12),
}
SIZE = sum(map(len, FILES.values()))


@dataclass(frozen=True)
class Place:
    """A datastore with FILES below ``in/``.

    :param secrets: that open it.
    """

    datastore: str
    store: FileStore
    secrets: Sequence[str]

    def uri(self, path: str) -> str:
        return f"azureml://datastores/{self.datastore}/paths/{path}"

    def found(self, folder: str) -> dict[str, bytes]:
        """The data in a folder."""
        return {
            info.path.removeprefix(folder): b"".join(self.store.read(info.path, if_match=info.etag))
            for info in self.store.list(folder)
            if info.path.rpartition("/")[2] not in ("_manifest.json", "_SUCCESS")
        }


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkspaceHook]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("workspace")
        connection = {"conn_type": "azureml_local_workspace", "extra": {"home": str(home)}}
        patch.setenv(f"AIRFLOW_CONN_{WORKSPACE.upper()}", json.dumps(connection))
        with WorkspaceHook(WORKSPACE) as opened:
            yield opened


@pytest.fixture(scope="module")
def places(request: pytest.FixtureRequest, hook: WorkspaceHook) -> Iterator[dict[str, Place]]:
    """One of each kind."""
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        made = {}
        for kind in find_rigs():
            rig = kind(request)
            store = stack.enter_context(rig.new_store())
            for path, content in FILES.items():
                store.write(f"in/{path}", [content], size=len(content))
            location, credential = store.door
            fields, conn_id = connection_of(credential), f"conn_{rig.name}"
            if fields is not None:
                patch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
            hook.register(Datastore(rig.name, location, conn_id if fields else None))
            made[rig.name] = Place(rig.name, store, rig.secrets)
        yield made


def connection_of(credential: Credential) -> dict[str, Any] | None:
    match credential:
        case AccountKey(key):
            return {"conn_type": "generic", "extra": {"account_key": key}}
        case AccessToken(token):
            return {"conn_type": "generic", "extra": {"access_token": token}}
        case Anonymous() | Identity():
            return None
    raise AssertionError(f"no connection for a {type(credential).__name__}")


NEIGHBOURS = [(kind, target) for n, kind in enumerate(KINDS) for target in (kind, KINDS[n - 1])]
"""Every kind with itself, and with another one each way: what the operators do beyond copying knows one place only."""


@pytest.mark.parametrize(("source", "target"), [pair for pair in product(KINDS, KINDS) if pair not in NEIGHBOURS])
def test_all_is_copied(source: str, target: str, places: dict[str, Place]) -> None:
    here, there = places[source], places[target]
    found = find_source(lambda _: OpenPlace(source, here.store), DatastoreUri(source, "in/"))
    copy = prepare_copy(found, OpenPlace(target, there.store, f"copied/{source}/"), label="", say=lambda line: None)
    made = copy()
    assert (made.files, made.size) == (len(FILES), SIZE)
    assert there.found(f"copied/{source}/") == FILES


@pytest.mark.parametrize(("source", "target"), NEIGHBOURS)
def test_all_arrives(source: str, target: str, hook: WorkspaceHook, places: dict[str, Place]) -> None:
    """Bytes, names and counts are equal."""
    here, there = places[source], places[target]
    hook.set_default(target)
    experiment, defaults = f"from_{source}", {"workspace_conn_id": WORKSPACE}
    with DAG(f"{source}_to_{target}", schedule=None, default_args=defaults, render_template_as_native_obj=True) as dag:
        copy = CopyDatastoreOperator(task_id="copy", source=here.uri("in/"), target=there.uri(f"copied/{source}/"))
        ingest = IngestToExperimentOperator(
            task_id="ingest",
            experiment=experiment,
            run="r",
            inputs={"x": here.uri("in/"), "left": Input(here.uri("in/"), mode="direct")},
        )
        publish = PublishOutputsOperator(
            task_id="publish",
            run={"experiment": experiment, "run": "r", "outputs": "{{ ti.xcom_pull('ingest')['inputs'] }}"},
            outputs={"left": there.uri(f"published/{source}/")},
        )
        copy >> ingest >> publish
    done = run_dag(dag)
    assert done.succeeded, done.log
    for result in (done["copy"], done["ingest"]["inputs"]["x"], done["publish"]["left"]):
        assert (result["files"], result["bytes"]) == (len(FILES), SIZE)
    assert not [secret for secret in (*here.secrets, *there.secrets) if secret in done.log]
    assert there.found(f"copied/{source}/") == FILES
    assert there.found(f"experiments/{experiment}/r/inputs/x/") == FILES
    assert there.found(f"published/{source}/") == FILES
    assert here.found("in/") == FILES


@pytest.mark.parametrize("kind", KINDS)
def test_new_files_are_seen_once(kind: str, hook: WorkspaceHook, places: dict[str, Place]) -> None:
    """A sensor finds what is there, an ingest takes it; what comes later, or is new again, is found alone."""
    place = places[kind]
    hook.set_default("workspaceblobstore")
    with DAG(f"watch_{kind}", schedule=None, default_args={"workspace_conn_id": WORKSPACE}) as dag:
        seen = NewDataSensor(task_id="seen", path=place.uri("watched/**/*.csv"), min_files=1)
        IngestToExperimentOperator(task_id="ingest", experiment=f"watch_{kind}", inputs={"x": seen.output})
    for names in (["a.csv", "b c/ü%.csv"], ["a.csv", "b c/later.csv"]):
        for name in names:
            place.store.write(f"watched/{name}", [f"{names}".encode()])
        done = run_dag(dag)
        assert done.succeeded, done.log
        assert done["seen"]["files"] == done["ingest"]["inputs"]["x"]["files"] == len(names)


def test_all_kinds_are_in_it() -> None:
    assert len(KINDS) >= 4
