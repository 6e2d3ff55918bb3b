"""What the documentation shows is true: every example runs as it stands."""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobClient

from airflow_azureml_datastores import errors, hooks, operators, sensors
from airflow_azureml_datastores.errors import DatastoresError
from airflow_azureml_datastores.stores import LOCATIONS, _support_docs, location_class
from tests.docs.pages import PAGES, ROOT, blocks
from tests.docs.session import Session
from tests.servers.azurite import BlobService

pytestmark = pytest.mark.xdist_group("airflow")

SHOWN_ONLY = 4
"""How many examples may be marked ``notest``."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_run(page: Path, session: Session) -> None:
    session.run_page(list(blocks(page)))


def test_the_pipeline_runs_on_blob_storage(session: Session, storage: BlobService) -> None:
    """As the README says, registering ``sales`` there is the only change."""
    page = list(blocks(ROOT / "README.md"))
    (pipeline,) = [block for block in page if "with DAG(" in block.text]
    (register,) = [block for block in page if "AzureBlob(" in block.text]
    location, credential = (
        'AzureBlob(account_name="contoso", container_name="raw")',
        'credential_conn_id="contoso_storage"',
    )
    assert location in register.text
    assert credential in register.text
    changed = {
        'LocalDirectory("/srv/sales")': f"{location}, {credential}",
        "import LocalDirectory": "import AzureBlob",
        'stable_for="30s"': "stable_for=0",  # or it would wait for the blob to be that old
    }
    for old, new in changed.items():
        assert pipeline.text.count(old) == 1
        pipeline = replace(pipeline, text=pipeline.text.replace(old, new))
    with BlobClient(
        storage.url, "raw", "2026-11-22/orders.csv", credential=AzureNamedKeyCredential(storage.account, storage.key)
    ) as blob:
        blob.upload_blob(b"order,customer,amount\n1,ann,10\n")
    session.run_page([block for block in page if block.language == "bash"])
    session.run(pipeline)
    assert session.finished is not None
    assert session.finished["run"]["metrics"] == {"rows": 1}


@pytest.mark.parametrize("name", [*operators.__all__, *sensors.__all__, *hooks.__all__])
def test_what_users_write_is_documented(name: str) -> None:
    pages = "".join(page.read_text() for page in PAGES if page.parent.name == "docs")
    assert re.search(rf"\b{name}\b", pages)


@pytest.mark.parametrize("type_name", LOCATIONS)
@pytest.mark.parametrize("page", ["docs/datastores.md", "docs/publish.md"])
def test_every_datastore_type_is_in_the_tables(page: str, type_name: str) -> None:
    if page == "docs/publish.md" and location_class(type_name).holds != "files":
        pytest.skip("what is published are files")
    assert re.search(rf"^\|.*`{type_name}\b", (ROOT / page).read_text(), re.MULTILINE)


@pytest.mark.skipif(sys.platform == "darwin", reason="a directory there compares names without case")
def test_the_table_of_what_types_can_do_is_fresh() -> None:
    command = f"python -m {_support_docs.__name__} > docs/support.md"
    assert (ROOT / "docs/support.md").read_text() == _support_docs.render(), f"run: {command}"


def test_few_examples_are_not_run() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.info.startswith("notest")]
    assert [block for block in shown if not block.info.removeprefix("notest:").strip()] == []
    assert len(shown) <= SHOWN_ONLY


def test_the_tree_of_errors_is_that_of_the_code() -> None:
    (shown,) = [block.text for block in blocks(ROOT / "docs/errors.md") if "DatastoresError\n├──" in block.text]
    drawn = (inspect.getdoc(errors) or "").partition("::\n\n")[2].partition("\n\n")[0]
    assert shown.strip() == textwrap.dedent(drawn)


def test_every_error_has_a_remedy() -> None:
    text = (ROOT / "docs/errors.md").read_text()
    explained = set(re.findall(r"`(\w+)`", "".join(line for line in text.splitlines() if line.startswith("| `"))))
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, DatastoresError)]
    leaves = {kind.__name__ for kind in kinds if not kind.__subclasses__()}
    assert leaves - explained == set()
