"""Reading List Blobs pages: what the service writes there, also where Azurite never does."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime
from xml.sax.saxutils import escape

import pytest
from azure.core.exceptions import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.core.store import ObjectInfo
from airflow_azureml_datastores.stores._blob_listing import parse_date, parse_page

WHEN = "Sun, 22 Nov 2026 09:03:58 GMT"


def blob(name: str, *, attributes: str = "", more: str = "") -> str:
    return (
        f"<Blob><Name{attributes}>{name}</Name><Properties><Creation-Time>{WHEN}</Creation-Time><Last-Modified>{WHEN}"
        f"</Last-Modified><Etag>0x8D4BCC2E4835CD0</Etag>{more}<Content-Length>42</Content-Length><Content-Encoding />"
        "<BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob>"
    )


def page(*blobs: str, marker: str = "<NextMarker />", prefix: str = "") -> bytes:
    return (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://x/" '
        f'ContainerName="c">{prefix}<Blobs>{"".join(blobs)}</Blobs>{marker}</EnumerationResults>'
    ).encode()


def test_blob() -> None:
    assert parse_page(page(blob("a/b.txt"))).blobs == [
        ObjectInfo("a/b.txt", 42, "0x8D4BCC2E4835CD0", datetime(2026, 11, 22, 9, 3, 58, tzinfo=UTC))
    ]


def test_no_blobs() -> None:
    assert parse_page(page()) == ([], "")
    assert parse_page(page().replace(b"<Blobs></Blobs>", b"<Blobs />")) == ([], "")


def test_markers() -> None:
    assert parse_page(page(blob("a"), marker="<NextMarker/>")).next_marker == ""
    assert parse_page(page(blob("a"), marker="<NextMarker></NextMarker>")).next_marker == ""
    assert parse_page(page(blob("a"), marker="<NextMarker>2!76!a&amp;b=</NextMarker>")).next_marker == "2!76!a&b="


def test_page_of_nothing_but_a_marker() -> None:
    """The service may have looked in vain and want to be asked on."""
    assert parse_page(page(marker="<NextMarker>2!x</NextMarker>")) == ([], "2!x")


def test_prefix_that_looks_like_a_blob() -> None:
    assert parse_page(page(blob("a"), prefix=f"<Prefix>{escape(blob('x'))}</Prefix>")).blobs[0].path == "a"


def names(*blobs: str) -> list[str]:
    return [info.path for info in parse_page(page(*blobs)).blobs]


def test_percent_encoded_name() -> None:
    """So the service writes what XML cannot hold; a percent sign in any other name is itself."""
    assert names(blob("odd%EF%BF%BE%2Fname%25", attributes=' Encoded="true"')) == ["odd\ufffe/name%"]
    assert names(blob("100%25")) == ["100%25"]


def test_references() -> None:
    assert names(blob("&lt;a&gt; &amp;amp; &quot;x&quot; &apos;y&apos; &#xD;&#13;&#65;")) == [
        "<a> &amp; \"x\" 'y' \r\rA"
    ]


def test_names_keep_their_spaces() -> None:
    assert names(blob(" "), blob(" a "), blob("a\tb\nc")) == [" ", " a ", "a\tb\nc"]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1), max_size=5))
def test_any_name_comes_out_as_it_went_in(wanted: list[str]) -> None:
    assert names(*(blob(escape(name)) for name in wanted)) == wanted


def test_directories_are_left_out() -> None:
    folder = blob("folder", more="<ResourceType>directory</ResourceType>")
    assert names(folder, blob("folder/file", more="<ResourceType>file</ResourceType>")) == ["folder/file"]


def test_quoted_etag_is_that_of_other_calls() -> None:
    body = page(blob("a")).replace(b"0x8D4BCC2E4835CD0", b'"0x1"')
    assert parse_page(body).blobs[0].etag == "0x1"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Sign in to the network</body></html>",
        b"<!DOCTYPE html><html></EnumerationResults>",
        page(blob("a"))[:-30],
        page(blob("a").replace("<Name>a</Name>", "")),
        page(blob("a").replace("42", "many")),
        page(blob("a").replace(WHEN, "yesterday")),
        page(blob("<![CDATA[a]]>")),
        b"\xff\xfe\x00",
    ],
    ids=["nothing", "portal", "doctype", "cut", "no name", "no size", "no date", "CDATA", "no UTF-8"],
)
def test_what_is_no_page(body: bytes) -> None:
    with pytest.raises(DecodeError, match="no page"):
        parse_page(body)


@given(st.datetimes(timezones=st.just(UTC)))
def test_dates(moment: datetime) -> None:
    exact = moment.replace(microsecond=0)
    assert parse_date(format_datetime(exact, usegmt=True)) == exact
