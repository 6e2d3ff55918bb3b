"""What an experiment gives out: where it is written, and how it is delivered when the experiment has succeeded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from airflow_azureml_datastores.core.experiment import ExperimentRun, Output, check_binding_names
from airflow_azureml_datastores.core.manifest import MANIFEST, Entry, Manifest
from airflow_azureml_datastores.core.place import OpenDatastore, Place, open_place
from airflow_azureml_datastores.core.uri import DatastoreUri, parse_datastore_uri, quote_path
from airflow_azureml_datastores.errors import ExperimentFailed, InvalidInput, NoData
from airflow_azureml_datastores.transfer.delivery import Delivery, check_folder
from airflow_azureml_datastores.transfer.engine import delete_all
from airflow_azureml_datastores.transfer.progress import Say, human_count, human_size
from airflow_azureml_datastores.transfer.publish import check_disjoint, prepare_publish
from airflow_azureml_datastores.transfer.source import Source, find_source

METRICS_LIMIT = 64 * 1024
"""Bytes of metrics that are taken: they go into XCom."""


@dataclass(frozen=True)
class _Delivering:
    """The delivery of one output that has been checked.

    :param stage: what can be done of it with nothing being visible yet.
    """

    deliver: Callable[[], dict[str, Any]]
    stage: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Outputs:
    """The outputs of one run, wherever it runs.

    :param outputs: name -> :class:`Output`.
    :param metrics: name of the ``uri_file`` output with the metrics, a JSON object; None if there are none.
    :param say: takes progress lines.
    :param home: the datastore of the run's folder; None is the default.
    """

    open_datastore: OpenDatastore
    run: ExperimentRun
    outputs: Mapping[str, Output]
    say: Say
    metrics: str | None = None
    home: str | None = None

    def check(self) -> None:
        """Find out what would go wrong, before anything happens.

        :raises InvalidInput: a name or target is wrong, two targets overlap, or ``metrics`` names no file.
        :raises UnsafePath: a target's datastore cannot hold it.
        :raises DatastoreNotFound: a target is in a datastore that is not registered.
        """
        check_binding_names("output", self.outputs)
        if self.metrics is not None and (
            self.metrics not in self.outputs or self.outputs[self.metrics].type != "uri_file"
        ):
            raise InvalidInput(f"metrics={self.metrics!r} has to name an output of type 'uri_file'.")
        named = {name: output for name, output in self.outputs.items() if output.path is not None}
        targets = {name: self.place(name) if o.mode == "direct" else self._target(o) for name, o in named.items()}
        check_disjoint(targets)
        for name, target in targets.items():
            self._check_target(target, named[name])

    def file_name(self, name: str) -> str:
        """What the file of a ``uri_file`` output is called: as its path says, or else as the output."""
        return (self.outputs[name].path or "").rpartition("/")[2] or name

    def place(self, name: str) -> Place:
        """Where an output is written that is not uploaded from this machine: in the run's folder, or with mode
        ``direct`` where it belongs. The exact file of a ``uri_file`` output, else the folder."""
        output = self.outputs[name]
        elsewhere = output.mode == "direct" and output.path is not None
        folder = self._target(output) if elsewhere else self.record(name)
        if output.type == "uri_folder":
            return folder.folder()
        return folder if folder.path and not folder.path.endswith("/") else folder.at(self.file_name(name))

    def clear(self, name: str) -> None:
        """Remove what an earlier attempt has left in an output's folder of the run, its manifest first."""
        record = self.record(name)
        record.store.delete(record.at(MANIFEST).path)
        delete_all(record.store, [info.path for _, info in record.list()])

    def prepare(self, local: Mapping[str, Source] | None = None) -> Callable[[], dict[str, Any]]:
        """Find and check what was written; what is returned delivers it. Nothing has moved before.

        Afterwards each output has a manifest. Delivering again after an interruption ends the same.

        :param local: what was written on this machine, by output; the others are where :meth:`place` says.
        :returns: delivers; it returns ``outputs``, per output ``uri``, ``files``, ``bytes``, ``manifest`` and ``type``,
            and ``metrics``.
        :raises ExperimentFailed: a file that should have been written was not, or the metrics are none.
        """
        written = {name: (local or {}).get(name) or self._find(name) for name in self.outputs}
        for name, output in self.outputs.items():
            if output.type == "uri_file" and not written[name].single:
                raise ExperimentFailed(f"no file was written to output {name!r}, which is of type 'uri_file'.", 0)
        metrics = read_metrics(self.metrics, written[self.metrics]) if self.metrics is not None else {}
        work = {name: self._prepare(name, source, name in (local or {})) for name, source in written.items()}

        def deliver() -> dict[str, Any]:
            for delivering in work.values():
                delivering.stage()
            return {"outputs": {name: delivering.deliver() for name, delivering in work.items()}, "metrics": metrics}

        return deliver

    def _check_target(self, target: Place, output: Output) -> None:
        if output.type == "uri_file" and target.path and not target.path.endswith("/"):
            target.store.check_path(target.path)
            target = replace(target, path=target.path.rpartition("/")[0])
        check_folder(target.folder())

    def _find(self, name: str) -> Source:
        place = self.place(name)
        return find_source(self.open_datastore, DatastoreUri(place.datastore, place.path))

    def _prepare(self, name: str, source: Source, upload: bool) -> _Delivering:
        """Check the delivery of one output."""
        output, record = self.outputs[name], self.record(name)
        origin = {"experiment": self.run.experiment, "run": self.run.run, "output": name}
        label = f"[put] {self.run.experiment}/{self.run.run}  {name}"
        published = output.path is not None and output.mode != "direct"
        if not published and not upload:
            return _Delivering(lambda: self._result(name, self._seal(source, record, origin), record))
        if output.path is None:
            delivery = Delivery(
                source, record, label, self.say, manifest=record.at(MANIFEST), exclusive=True, origin=origin
            )
            delivery.check()
            return _Delivering(lambda: self._result(name, delivery.seal(delivery.move()), record))
        if not source.files:
            raise NoData(f"nothing was written to output {name!r}, which is to be published at {output.path}.")
        target = self._target(output)
        as_file = source.single and bool(target.path) and not target.path.endswith("/")
        publish = prepare_publish(
            source,
            target if source.single else target.folder(),
            policy="overwrite",
            publisher=f"{self.run.experiment}/{self.run.run}/{name}",
            label=label,
            say=self.say,
            origin=origin,
            record=record,
        )

        def deliver() -> dict[str, Any]:
            if not upload and not as_file:  # the copy of a file leaves its own record there
                self._seal(source, record, origin)
            return self._result(name, publish(), record if as_file else target.folder())

        return _Delivering(deliver, publish.stage)

    def _seal(self, source: Source, record: Place, origin: Mapping[str, str]) -> Manifest:
        """List what lies where it belongs already."""
        entries = tuple(
            Entry(path, version.size, version.etag, version.path, version.etag)
            for path, version in sorted(source.files.items())
        )
        manifest = Manifest(source.uri, source.folder.folder().uri, entries, origin)
        record.at(MANIFEST).store.write(record.at(MANIFEST).path, manifest.to_json())
        self.say(
            f"[put] done: {human_count(manifest.files)}, {human_size(manifest.size)} at {source.uri}; "
            f"manifest {record.at(MANIFEST).uri}"
        )
        return manifest

    def _result(self, name: str, manifest: Manifest, record: Place) -> dict[str, Any]:
        kind = self.outputs[name].type
        return {
            "uri": manifest.target + (quote_path(manifest.entries[0].path) if kind == "uri_file" else ""),
            "files": manifest.files,
            "bytes": manifest.size,
            "manifest": record.at(MANIFEST).uri,
            "type": kind,
        }

    def record(self, name: str) -> Place:
        """The folder of an output in the run's folder, where its manifest is unless it was published."""
        return self.open_datastore(self.home).at(self.run.output_folder(name))

    def _target(self, output: Output) -> Place:
        return open_place(self.open_datastore, parse_datastore_uri(output.path or ""))


def read_metrics(name: str, source: Source) -> dict[str, Any]:
    """The metrics that an output holds.

    :raises ExperimentFailed: they are no JSON object of at most :data:`METRICS_LIMIT` bytes.
    """
    (version,) = source.files.values()
    if version.size > METRICS_LIMIT:
        raise ExperimentFailed(f"the metrics are {version.size} bytes; at most {METRICS_LIMIT} are taken.", 0)
    content = b"".join(source.folder.store.read(version.path, if_match=version.etag))
    try:
        metrics = json.loads(content)
    except ValueError as error:
        raise ExperimentFailed(f"the metrics in output {name!r} are not JSON: {error}", 0) from error
    if not isinstance(metrics, dict):
        raise ExperimentFailed(f"the metrics in output {name!r} are not a JSON object.", 0)
    return metrics
