from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.glob import compile_glob, escape, is_glob
from airflow_azureml_datastores.core.uri import (
    DataAssetUri,
    DatastoreUri,
    JobOutputUri,
    WorkspaceId,
    parse_datastore_uri,
    parse_uri,
    quote_path,
)
from airflow_azureml_datastores.errors import InvalidUri

WORKSPACE = WorkspaceId("5f0e-11", "my rg", "lab")
LONG = "azureml://subscriptions/5f0e-11/resourcegroups/my rg/workspaces/lab"

paths = st.text(st.characters(exclude_categories=["Cs"]))
odd_paths = st.text(st.sampled_from("/%?#*[]!+& .\\\"'\0\n\x7f25aFé€😀"))
segments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1)
names = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9\-_]{0,20}", fullmatch=True)
workspaces = st.none() | st.builds(WorkspaceId, segments, segments, segments)


@pytest.mark.parametrize(
    ("text", "uri"),
    [
        ("azureml://datastores/sales/paths/a/b.csv", DatastoreUri("sales", "a/b.csv")),
        ("azureml://datastores/sales/paths/a/", DatastoreUri("sales", "a/")),
        ("azureml://datastores/sales/paths/", DatastoreUri("sales")),
        ("azureml://datastores/sales/paths", DatastoreUri("sales")),
        ("azureml://datastores/sales", DatastoreUri("sales")),
        ("azureml://datastores/sales/paths//a//b", DatastoreUri("sales", "/a//b")),
        ("azureml://datastores/sales/paths/a%20b%25%2A%c3%A9 é+", DatastoreUri("sales", "a b%*é é+")),
        ("azureml://datastores/sales/paths/a/*.csv", DatastoreUri("sales", "a/*.csv", pattern=True)),
        ("azureml://datastores/sales/paths/**/x?", DatastoreUri("sales", "**/x?", pattern=True)),
        ("azureml://datastores/sales/paths/a%2A/*%23%5Bé", DatastoreUri("sales", "a[*]/*#[[]é", pattern=True)),
        ("azureml://datastores/${{default_datastore}}/paths/a", DatastoreUri(None, "a")),
        (f"{LONG}/datastores/sales/paths/a", DatastoreUri("sales", "a", workspace=WORKSPACE)),
        (f"{LONG}/datastores/sales/paths/*", DatastoreUri("sales", "*", True, WORKSPACE)),
        (
            "azureml://subscriptions/5f0e-11/resourceGroups/my rg/providers/Microsoft.MachineLearningServices"
            "/workspaces/lab/datastores/sales/paths/a",
            DatastoreUri("sales", "a", workspace=WORKSPACE),
        ),
        ("azureml://jobs/brave_1/outputs/model/paths/a%23b", JobOutputUri("brave_1", "model", "a#b")),
        ("azureml://jobs/brave_1/outputs/model", JobOutputUri("brave_1", "model")),
        ("azureml:titanic:1", DataAssetUri("titanic", version="1")),
        ("azureml:titanic:2026-11.a", DataAssetUri("titanic", version="2026-11.a")),
        ("azureml:titanic@latest", DataAssetUri("titanic", label="latest")),
        ("raw/2026/a.csv", DatastoreUri(None, "raw/2026/a.csv")),
        ("raw/50%25 off#1", DatastoreUri(None, "raw/50%25 off#1")),
        ("raw/**/*.csv", DatastoreUri(None, "raw/**/*.csv", pattern=True)),
        ("C:/data", DatastoreUri(None, "C:/data")),
        ("a b", DatastoreUri(None, "a b")),
    ],
)
def test_parse(text: str, uri: object) -> None:
    assert parse_uri(text) == uri
    assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        (DatastoreUri("sales", "a b/é.csv"), "azureml://datastores/sales/paths/a b/é.csv"),
        (DatastoreUri("sales", "100%?#*[x]\n"), "azureml://datastores/sales/paths/100%25%3F%23%2A%5Bx]%0A"),
        (DatastoreUri("sales", "a[*]/*#%", pattern=True), "azureml://datastores/sales/paths/a[*]/*%23%25"),
        (DatastoreUri(None, "a"), "azureml://datastores/${{default_datastore}}/paths/a"),
        (DatastoreUri("sales", "a", workspace=WORKSPACE), f"{LONG}/datastores/sales/paths/a"),
        (JobOutputUri("j", "o", "a*"), "azureml://jobs/j/outputs/o/paths/a%2A"),
        (DataAssetUri("titanic", version="1"), "azureml:titanic:1"),
        (DataAssetUri("titanic", label="latest"), "azureml:titanic@latest"),
    ],
)
def test_print(uri: object, text: str) -> None:
    assert str(uri) == text


@given(st.none() | names, paths | odd_paths, workspaces)
def test_any_path_comes_back(name: str | None, path: str, workspace: WorkspaceId | None) -> None:
    uri = DatastoreUri(name, path, workspace=workspace)
    assert parse_uri(str(uri)) == uri


@given(names, paths | odd_paths, workspaces)
def test_any_pattern_comes_back(name: str, pattern: str, workspace: WorkspaceId | None) -> None:
    uri = DatastoreUri(name, pattern, is_glob(pattern), workspace)
    assert parse_uri(str(uri)) == uri


@given(segments, segments, paths | odd_paths)
def test_any_job_output_comes_back(job: str, output: str, path: str) -> None:
    uri = JobOutputUri(job, output, path)
    assert parse_uri(str(uri)) == uri


@given(paths | odd_paths)
def test_a_path_that_another_tool_has_encoded_is_read_right(path: str) -> None:
    assert parse_uri(f"azureml://datastores/sales/paths/{quote(path)}") == DatastoreUri("sales", path)


@given(paths | odd_paths, paths | odd_paths)
def test_what_is_encoded_in_a_pattern_is_meant_literally(before: str, after: str) -> None:
    uri = parse_uri(f"azureml://datastores/sales/paths/{quote_path(before)}*{quote_path(after)}")
    assert isinstance(uri, DatastoreUri)
    assert uri.pattern
    matches = compile_glob(uri.path).fullmatch
    assert matches(before + "x" + after)
    assert not matches(before + "/" + after)


@given(st.text(min_size=1).filter(lambda text: text.strip() and "://" not in text and not text.startswith("azureml:")))
@example("%zz")
@example("a#b")
def test_a_plain_path_is_taken_as_it_is(path: str) -> None:
    assert parse_uri(path) == DatastoreUri(None, path, pattern=is_glob(path))


@given(paths | odd_paths)
def test_an_escaped_path_is_that_path_again(path: str) -> None:
    if is_glob(path):
        assert parse_uri(escape(path)) == DatastoreUri(None, escape(path), pattern=True)


WRONG = [
    ("", "is needed, got ''"),
    ("  \n", "is needed, got"),
    (None, "is needed, got None"),
    (5, "is needed, got 5"),
    ("azureml://", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://datastores", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://datastores/", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://datastores//paths/a", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://datastores/sales/path/a", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://datastores/sales/paths_a", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://datastore/sales/paths/a", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://sales/a", "write azureml://datastores/<name>/paths/<path>"),
    ("azureml://subscriptions/s/datastores/sales/paths/a", "long form with subscription"),
    (f"{LONG}/jobs/j/outputs/o/paths/a", "is not an Azure ML URI"),
    ("azureml://datastores/my sales/paths/a", "'my sales' is not a datastore name: 1 to 255 letters"),
    ("azureml://datastores/{{ name }}/paths/a", "is not a datastore name"),
    (
        "azureml://datastores/sales/paths/50%",
        "a '%' has to be followed by two hex digits; a literal one is written %25",
    ),
    ("azureml://datastores/sales/paths/%zz", "a literal one is written %25"),
    ("azureml://datastores/sales/paths/%ff", "the path, percent-encoded bytes decoded, is not UTF-8"),
    ("azureml://datastores/sales/paths/*%ff", "the path, percent-encoded bytes decoded, is not UTF-8"),
    ("azureml://datastores/sales/paths/a\udcff", "not UTF-8"),
    ("azureml://jobs/j/outputs/o/paths/*.csv", "a job's output takes no pattern"),
    ("azureml://jobs/j/paths/a", "is not an Azure ML URI"),
    ("azureml:titanic", "is not a data asset: write azureml:<name>:<version> or azureml:<name>@latest"),
    ("azureml:titanic:", "is not a data asset"),
    ("azureml:titanic:1:2", "is not a data asset"),
    ("azureml:/datastores/sales", "is not a data asset"),
    ("https://acc.blob.core.windows.net/c/p?sig=s3cret", "scheme 'https' is not in a datastore: register a datastore"),
    ("wasbs://c@acc.blob.core.windows.net/p", "scheme 'wasbs' is not in a datastore"),
    (" azureml://datastores/sales/paths/a", "white space"),
    ("\nazureml:titanic:1", "white space"),
    (" https://acc.blob.core.windows.net/c/p?sig=s3cret", "white space"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_malformed(text: str, message: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        parse_uri(text)
    assert message in str(caught.value)
    assert "s3cret" not in str(caught.value)


@given(st.text() | odd_paths | st.builds("azureml:{}".format, st.text()) | st.builds("azureml://{}".format, st.text()))
def test_every_text_is_a_uri_or_refused(text: str) -> None:
    try:
        uri = parse_uri(text)
    except InvalidUri:
        return
    if isinstance(uri, DatastoreUri) and not text.startswith("azureml:"):
        assert uri.path == text
    else:
        assert parse_uri(str(uri)) == uri


@pytest.mark.parametrize("text", ["azureml:titanic:1", "azureml://jobs/j/outputs/o/paths/a"])
def test_only_a_place_in_a_datastore_will_do(text: str) -> None:
    with pytest.raises(InvalidUri, match="is not a place in a datastore: write azureml://datastores/"):
        parse_datastore_uri(text)
    assert parse_datastore_uri("azureml://datastores/sales/paths/a") == DatastoreUri("sales", "a")
