"""New rows under any interleaving of writers and runs: none is lost, and none is taken twice."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO

import pyarrow.parquet as pq
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from airflow_azureml_datastores.core.experiment import ExperimentRun, Input
from airflow_azureml_datastores.core.manifest import MANIFEST, Manifest
from airflow_azureml_datastores.errors import NoData
from airflow_azureml_datastores.transfer.cursors import RowCursorFile
from airflow_azureml_datastores.transfer.new_rows import NewRowsDelivery, RowsWatch
from airflow_azureml_datastores.transfer.row_inputs import prepare_rows
from tests.unit.transfer.stores import MemoryStore, contents, opener
from tests.unit.transfer.tables import MemoryTables

OVERLAP = 3
RUNS = [f"r{n}" for n in range(4)]

Delivered = tuple[Manifest, bool]


class Runs(RuleBasedStateMachine):
    """Each run is begun, delivered and taken, with anything in between, or never ended, and begun again.

    Of one run there is only one try at a time, as Airflow has it.
    """

    overlap = OVERLAP
    begun: Bundle[NewRowsDelivery] = Bundle("begun")
    delivered: Bundle[tuple[NewRowsDelivery, Delivered]] = Bundle("delivered")

    def __init__(self) -> None:
        super().__init__()
        self.home = MemoryStore()
        self.tables = MemoryTables()
        self.open_datastore = opener(workspaceblobstore=self.home)
        self.newest = 10
        self.in_time: set[tuple[int, int]] = set()
        self.first: dict[str, set[tuple[int, int]]] = {}
        self.trying: dict[str, NewRowsDelivery] = {}

    @rule(id=st.integers(0, 5), ahead=st.integers(-OVERLAP - 2, 3))
    def change(self, id: int, ahead: int) -> None:
        """Insert a row or update it, whose watermark may be one that was passed already."""
        at = max(self.newest + ahead, 1)
        version = (id, at)
        if any(version in rows for rows in self.first.values()):
            return  # one that was there before is known, not new
        replaced = self.tables.rows.get(id)
        self.in_time.discard((id, replaced or 0))
        self.tables.rows[id] = at
        if at > self.frontier or (self.overlap and at > self.frontier - self.overlap):
            self.in_time.add(version)
        self.newest = max(self.newest, at)

    @property
    def frontier(self) -> int:
        """What some run has taken, or is about to take, is up to here; what comes below that comes late."""
        batches = list(RowCursorFile(self.open_datastore, "c").load()[0].batches.values())
        batches += [made.plan.batch for made in self.trying.values() if hasattr(made, "plan")]
        return max((int(str(batch.high)) for batch in batches if batch.high is not None), default=-100)

    def start(self, run: str) -> NewRowsDelivery | None:
        new = Input.table(
            "crm",
            "orders",
            watermark="at",
            consumer="c",
            overlap=self.overlap,
            keys=["id"] if self.overlap else (),
        )
        made = prepare_rows(
            self.open_datastore,
            lambda name: self.tables,
            ExperimentRun("e", run),
            "x",
            new,
            run,
            lambda line: None,
        )
        assert isinstance(made, NewRowsDelivery)
        self.trying[run] = made
        try:
            made.check()
        except NoData:
            return None
        return made

    @rule(target=begun, run=st.sampled_from(RUNS), meddled=st.booleans())
    def begin(self, run: str, meddled: bool) -> object:
        if meddled:
            self.home.delete(f"experiments/e/{run}/inputs/x/{MANIFEST}")
        made = self.start(run)
        return multiple() if made is None else made

    @rule(target=delivered, made=consumes(begun))
    def deliver(self, made: NewRowsDelivery) -> object:
        if self.trying[made.new.batch] is not made:
            return multiple()
        try:
            return made, made.deliver()
        except NoData:
            return multiple()

    @rule(run=st.sampled_from(RUNS), meddled=st.booleans())
    def whole(self, run: str, meddled: bool) -> None:
        """Nobody comes between."""
        made = self.begin(run, meddled)
        if isinstance(made, NewRowsDelivery):
            found = self.deliver(made)
            if isinstance(found, tuple):
                self.take(found)

    @rule(what=consumes(delivered))
    def take(self, what: tuple[NewRowsDelivery, Delivered]) -> None:
        made, found = what
        run = made.new.batch
        if self.trying[run] is not made:
            return
        with suppress(NoData):
            made.take(found)
            took = self.took(run)
            there = set(self.tables.rows.items())
            assert self.first.get(run, set()) & there <= took, "it has less than at first"
            # There may be more in its range, but only what came too late for anybody else.
            self.first[run] = self.first.get(run, set()) | took

    def took(self, run: str) -> set[tuple[int, int]]:
        found = contents(self.home, f"experiments/e/{run}/inputs/x/")
        tables = [pq.read_table(BytesIO(found[path])) for path in found if path.endswith(".parquet")]
        rows = [(row["id"], row["at"]) for table in tables for row in table.to_pylist()]
        assert len(rows) == len(set(rows))
        return set(rows)

    @invariant()
    def nothing_twice(self) -> None:
        rows = [row for taken in self.first.values() for row in taken]
        assert len(rows) == len(set(rows)), rows

    @rule()
    def a_look_tells_what_a_batch_would_be(self) -> None:
        new = self.start("looking")
        self.home.delete(f"experiments/e/looking/inputs/x/{MANIFEST}")
        given = Input.table(
            "crm", "orders", watermark="at", consumer="c", overlap=self.overlap, keys=["id"] if self.overlap else ()
        )
        batch, _ = RowsWatch(given, "looking").look(self.open_datastore, lambda name: self.tables)
        if new is None:
            assert batch is None
            return
        try:
            new.deliver()
        except NoData:
            assert batch is None
        else:
            assert batch is not None
            assert batch["rows"] == new.rows.rows

    def teardown(self) -> None:
        """The last run takes all that is left."""
        made = self.start("last")
        if made is not None:
            with suppress(NoData):
                made.take(made.deliver())
                self.first["last"] = self.took("last")
        rows = {row for taken in self.first.values() for row in taken}
        there = {(id, at) for id, at in self.tables.rows.items() if at is not None}
        assert self.in_time & there <= rows, "lost"


class RunsWithoutOverlap(Runs):
    overlap = 0


Runs.TestCase.settings = RunsWithoutOverlap.TestCase.settings = settings(
    max_examples=100, stateful_step_count=25, deadline=None
)
TestRuns = pytest.mark.timeout(240)(Runs.TestCase)
TestRunsWithoutOverlap = pytest.mark.timeout(240)(RunsWithoutOverlap.TestCase)
