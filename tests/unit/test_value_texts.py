"""Values as texts in a statement."""

from __future__ import annotations

import json
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_azureml_datastores.stores._value_texts import json_rows, json_strings, plain_decimals, quoted_texts


@given(st.lists(st.none() | st.text()))
def test_strings_of_json_are_the_texts(texts: list[str | None]) -> None:
    found = json_strings(pa.array(texts, pa.string()))
    assert [None if text is None else json.loads(text) for text in found.to_pylist()] == texts


def test_every_special_character() -> None:
    text = "".join(map(chr, range(0x100))) + '\\"\\u0041\\\\'
    assert json.loads(json_strings(pa.array([text]))[0].as_py()) == text


@pytest.mark.parametrize("scale", [0, 1, 28, 38])
@given(st.data())
def test_decimals_have_all_their_digits(scale: int, data: st.DataObject) -> None:
    most = 10**38 - 1
    whole = data.draw(st.lists(st.none() | st.integers(-most, most) | st.sampled_from([0, 1, -1, 10, most])))
    values = [None if n is None else Decimal(f"{n}E-{scale}") for n in whole]
    array = pa.array(values, pa.decimal128(38, scale))
    found = plain_decimals(pa.concat_arrays([array[:0], array]).slice(len(values) // 2))
    for text, value in zip(found.to_pylist(), values[len(values) // 2 :], strict=True):
        assert (text is None) == (value is None)
        if text is not None:
            assert Decimal(text) == value
            assert len(text.lstrip("-").partition(".")[2]) == scale
            assert set(text) <= set("-.0123456789")


def test_rows_of_json() -> None:
    columns = [
        pa.array([1, None]).cast(pa.string()),
        quoted_texts(pa.array(["a", None]), "!"),
        json_strings(pa.array(["x,]", ""])),
    ]
    assert json.loads(json_rows(columns)) == [[1, "a!", "x,]"], [None, None, ""]]
    assert json.loads(json_rows(columns[1:2])) == [["a!"], [None]]
