"""Versions of data that a workspace knows by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from airflow_azureml_datastores.core.template import Templated
from airflow_azureml_datastores.errors import InvalidInput, InvalidName

DataType = Literal["uri_folder", "uri_file", "mltable"]

# ARM's rules for Microsoft.MachineLearningServices/workspaces/data and its versions.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,254}")
_VERSION = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,29}")


@dataclass(frozen=True)
class DataAsset(Templated):
    """A version of data.

    :param name: letters, digits, ``-``, ``_`` and ``.``.
    :param path: ``azureml://`` URI of the file or folder.
    :param type: ``uri_folder``, ``uri_file`` or ``mltable`` (a folder with a file ``MLTable``).
    :param version: None is the next one, a number.
    :param digest: of the content, as a manifest gives it; "" if it is not known.
    :param description: free text.
    :param tags: free labels.
    """

    name: str
    path: str = ""
    type: DataType = "uri_folder"
    version: str | None = None
    digest: str = ""
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    def check(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidName(
                f"{self.name!r} is not a data asset's name: 1 to 255 letters, digits, '-', '_' or '.', starting with a "
                f"letter or digit."
            )
        if self.version is not None and not _VERSION.fullmatch(self.version):
            raise InvalidName(
                f"{self.version!r} is not a data asset's version: 1 to 30 letters, digits, '-', '_' or '.', starting "
                f"with a letter or digit."
            )
        if self.type not in get_args(DataType):
            raise InvalidInput(
                f"the data asset type {self.type!r} is unknown; choose one of {', '.join(get_args(DataType))}."
            )

    @property
    def uri(self) -> str:
        """``azureml:<name>:<version>``"""
        return f"azureml:{self.name}:{self.version}"
