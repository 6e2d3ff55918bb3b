"""docs/support.md, rendered from LOCATIONS: ``python -m airflow_azureml_datastores.stores._support_docs``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Sequence

from airflow_azureml_datastores.core.credentials import (
    AccessToken,
    AccountKey,
    Anonymous,
    Certificate,
    Identity,
    Login,
    SasToken,
    ServicePrincipal,
)
from airflow_azureml_datastores.core.datastore import Location
from airflow_azureml_datastores.core.store import Features, FileStore
from airflow_azureml_datastores.stores import LOCATIONS, location_class

_HEAD = """\
# What each datastore type can do

<!-- Rendered from LOCATIONS, Features and `takes` by
     `python -m airflow_azureml_datastores.stores._support_docs > docs/support.md`; a test keeps it fresh. -->

All types are registered, listed, re-pointed and unregistered with the same operators.

## Types that hold files

They can be listed, read and written, a file at a time that shows whole or not at all, and are ingested from, published
to and watched with the same operators. They differ in what the service does for it.

"""

_NOTES = """
- **server-side copy**: copies between datastores whose service can read there run inside it; no byte passes through the
  worker. Elsewhere, and where a stand-in cannot, the worker streams.
- **folder renamed**: a [publish](publish.md#what-a-reader-sees) takes its place by a rename instead of by copies:
  *swapped* with what is there in one step, or *to a free name*, so that for a moment there is neither.
- **conditional write**: *version* writes only over the version (etag) that was read, whoever else writes at that
  moment; *create* writes only where there is nothing. Without *version* the version is looked at just before.
- **names**: *any* keeps `a//b` and lets a file and a folder have the same name; *folders* are real ones. *no case*
  compares names without regard to case.
- Ways in are by [connection](connections.md), or the worker's own identity where a datastore names none.
"""

_TABLES = """
## Types that hold tables

[Rows](sql.md) of them are ingested, a query or a table at a time.

"""

_TABLE_COLUMNS = (
    "type",
    "rows of one moment",
    "login",
    "identity",
    "service principal",
    "token",
    "default endpoint",
)

_COLUMNS = (
    "type",
    "list, read, write",
    "server-side copy",
    "folder renamed",
    "conditional write",
    "names",
    "identity",
    "service principal",
    "token",
    "key",
    "SAS",
    "without credential",
    "default endpoint",
)


def render() -> str:
    """The whole page, as Markdown."""
    files, tables = ([name for name in LOCATIONS if location_class(name).holds == what] for what in ("files", "tables"))
    return "".join(
        (
            _HEAD,
            _table(_COLUMNS, map(_row, files)),
            _NOTES,
            _TABLES,
            _table(_TABLE_COLUMNS, map(_table_row, tables)),
        )
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in (columns, ["---"] * len(columns), *rows))


def _table_row(type_name: str) -> tuple[str, ...]:
    location = location_class(type_name)
    kinds = ((Login,), (Identity,), (ServicePrincipal, Certificate), (AccessToken,))
    ways = (_yes(set(kind) & set(location.takes)) for kind in kinds)
    return f"`{type_name}`", "yes", *ways, location.default_endpoint() or "–"


def _row(type_name: str) -> tuple[str, ...]:
    location = location_class(type_name)
    features = features_of(location)
    names = "any" if features.any_name else "folders"
    return (
        f"`{type_name}`",
        "yes",
        _yes(features.server_side_copy),
        "swapped" if features.replace_directory else "to a free name" if features.directories else "–",
        "create, version" if features.conditional_write else "create",
        names if features.case_sensitive else f"{names}, no case",
        *(
            _yes(set(kinds) & set(location.takes))
            for kinds in (
                (Identity,),
                (ServicePrincipal, Certificate),
                (AccessToken,),
                (AccountKey,),
                (SasToken,),
                (Anonymous,),
            )
        ),
        location.default_endpoint() or "–",
    )


def features_of(location: type[Location]) -> Features:
    """What the type's store can do."""
    store: type[FileStore] = inspect.get_annotations(location.open, eval_str=True)["return"]
    return store.features


def _yes(what: object) -> str:
    return "yes" if what else "–"


if __name__ == "__main__":
    sys.stdout.write(render())
