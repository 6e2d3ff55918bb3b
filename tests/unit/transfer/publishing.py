"""A place to publish to, and how it looks to those who come by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from airflow_azureml_datastores.core.manifest import STAGING, Manifest
from airflow_azureml_datastores.core.place import Place
from airflow_azureml_datastores.core.store import FileStore
from airflow_azureml_datastores.core.uri import DatastoreUri
from airflow_azureml_datastores.transfer.publish import Policy, prepare_publish
from airflow_azureml_datastores.transfer.source import Source, find_source
from tests.unit.transfer.stores import Hook, MemoryStore, Watched, contents, fill, opener

SUCCESS, MANIFEST = "_SUCCESS", "_manifest.json"


@dataclass
class Rig:
    """A store to publish to.

    :param folder: where in it.
    """

    store: FileStore
    folder: str

    def watched(self, before: Hook | None = None, after: Hook | None = None) -> Rig:
        return replace(self, store=Watched(self.store, before, after))

    def publish(
        self, files: dict[str, bytes] | Source, policy: Policy = "fail", publisher: str = "task", **options: Any
    ) -> Manifest:
        source = made(files) if isinstance(files, dict) else files
        target = Place("t", self.store, self.folder)
        said = options.pop("say", lambda line: None)
        return prepare_publish(
            source, target, policy=policy, publisher=publisher, label="[publish] m", say=said, **options
        )()

    def data(self) -> dict[str, bytes]:
        """The files in the folder, without its records."""
        return {p: c for p, c in contents(self.store, self.folder).items() if p not in (SUCCESS, MANIFEST)}

    def manifest(self) -> Manifest:
        content = contents(self.store, self.folder)
        assert content[SUCCESS] == b""
        return Manifest.from_json(content[MANIFEST], "")

    def found(self) -> dict[str, bytes]:
        """What a reader finds there."""
        source = find_source(opener(t=self.store), DatastoreUri("t", self.folder))
        return {p: b"".join(self.store.read(v.path, if_match=v.etag)) for p, v in source.files.items()}

    def backstage(self) -> list[str]:
        """What publishing has left behind."""
        return [info.path for info in self.store.list(STAGING) if not info.path.endswith("/publishing/last")]

    def marks(self) -> list[str]:
        """The folders' marks."""
        return [path for path in self.backstage() if path.startswith(f"{STAGING}publishing/")]


def made(files: dict[str, bytes]) -> Source:
    """Files that have just been made somewhere else."""
    store = MemoryStore()
    fill(store, files, "out/")
    return find_source(opener(s=store), DatastoreUri("s", "out/"))
