"""Why a machine cannot mount, in words."""

from __future__ import annotations

import ctypes.util
import importlib.util
from pathlib import Path

import pytest

from airflow_azureml_datastores.compute import _mount_system
from airflow_azureml_datastores.compute.mount import check_mounts
from airflow_azureml_datastores.errors import MissingExtra, Unsupported


@pytest.fixture(autouse=True)
def a_machine_that_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    device = tmp_path / "fuse"
    device.touch()
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr(_mount_system, "_DEVICE", str(device))
    monkeypatch.setattr(_mount_system, "_may_mount", lambda: True)
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())


def problem() -> str:
    with pytest.raises(Unsupported) as raised:
        check_mounts()
    assert "Use mode 'download' for inputs and 'upload' for outputs" in str(raised.value)
    return str(raised.value)


def test_it_can() -> None:
    check_mounts()


def test_no_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"a mount needs: pip install 'airflow-azureml-datastores\[mount\]'"):
        check_mounts()


def test_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    for variable in ("FUSE_LIBRARY_PATH", "FUSE_LIBRARY_NAME"):
        monkeypatch.delenv(variable, raising=False)
    assert "libfuse is not installed (Debian and Ubuntu: apt install fuse3)" in problem()
    monkeypatch.setenv("FUSE_LIBRARY_PATH", "/opt/libfuse.so")
    check_mounts()


def test_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mount_system, "_DEVICE", "/nowhere/fuse")
    assert "there is no /nowhere/fuse (in a container: --device" in problem()


def test_not_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mount_system, "_may_mount", lambda: False)
    assert "lacks the capability SYS_ADMIN" in problem()


def test_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert "there are no mounts on win32" in problem()
