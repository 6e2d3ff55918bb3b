"""What only some systems do is shown here by taking it away; everything else is tested through the store."""

from __future__ import annotations

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_azureml_datastores.errors import AccessDenied, DatastoresError, PathNotFound, Unavailable, UnsafePath
from airflow_azureml_datastores.stores import _posix


@pytest.mark.parametrize("number", errno.errorcode, ids=errno.errorcode.get)
def test_every_error_is_ours(number: int) -> None:
    with pytest.raises(DatastoresError, match=r"doing this: .+") as caught, _posix.os_errors("doing this"):
        raise OSError(number, os.strerror(number))
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (errno.EACCES, AccessDenied, "Permission denied"),
        (errno.EPERM, AccessDenied, "not permitted"),
        (errno.EROFS, AccessDenied, "Read-only"),
        (errno.ENOSPC, Unavailable, "No space left"),
        (errno.EDQUOT, Unavailable, "quota"),
        (errno.EIO, Unavailable, "Input/output"),
        (errno.ESTALE, Unavailable, "Stale"),
        (errno.ETIMEDOUT, Unavailable, "timed out"),
        (errno.EMFILE, Unavailable, "open files"),
        (errno.ENOENT, PathNotFound, "No such"),
        (errno.ENAMETOOLONG, UnsafePath, "too long"),
        (errno.ENOTDIR, UnsafePath, "Not a directory"),
    ],
)
def test_meaning(number: int, kind: type[DatastoresError], text: str) -> None:
    error = _posix.translate(OSError(number, os.strerror(number)), "writing 'a'")
    assert type(error) is kind
    assert text in str(error)


def test_our_own_errors_pass_untouched() -> None:
    ours = PathNotFound("there is no 'a'")
    with pytest.raises(PathNotFound) as caught, _posix.os_errors("reading"):
        raise ours
    assert caught.value is ours


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, datetime(1970, 1, 1, tzinfo=UTC)),
        (-86400, datetime(1969, 12, 31, tzinfo=UTC)),
        (10**15, datetime.max.replace(tzinfo=UTC)),
        (-(10**15), datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_modified(seconds: int, expected: datetime) -> None:
    assert _posix.modified(os.stat_result((0, 0, 0, 0, 0, 0, 0, 0, seconds, 0))) == expected


def test_etag_heeds_every_field() -> None:
    def version(inode: int = 5, size: int = 5, mtime: int = 5, ctime: int = 5) -> str:
        times = {"st_mtime_ns": mtime, "st_ctime_ns": ctime}
        return _posix.etag(os.stat_result((0, inode, 0, 0, 0, 0, size, 0, 0, 0), times))

    versions = [version(), version(inode=6), version(size=6), version(mtime=6), version(ctime=6)]
    assert len(set(versions)) == 5


class TestRenameNew:
    @pytest.fixture(params=["native", "link", "neither"], autouse=True)
    def _system(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param != "native":
            monkeypatch.setattr(_posix, "_native_rename", lambda: None)
        if request.param == "neither":
            monkeypatch.setattr(os, "link", no_links)

    def test_new(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        _posix.rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
        assert [path.name for path in tmp_path.iterdir()] == ["b"]

    def test_taken(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        (tmp_path / "b").write_text("b")
        with pytest.raises(FileExistsError):
            _posix.rename_new(str(tmp_path / "a"), str(tmp_path / "b"))
        assert (tmp_path / "a").read_text() + (tmp_path / "b").read_text() == "ab"

    def test_missing_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("a")
        with pytest.raises(FileNotFoundError):
            _posix.rename_new(str(tmp_path / "a"), str(tmp_path / "no" / "b"))
        assert (tmp_path / "a").exists()


def no_links(source: str, target: str) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), source, None, target)


class TestCopyContent:
    @pytest.mark.parametrize("refusal", [None, errno.EXDEV, errno.ENOSYS, errno.EINVAL])
    def test_all_is_copied(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: int | None) -> None:
        content = os.urandom(3_000_001)
        (tmp_path / "a").write_bytes(content)
        native = os.copy_file_range

        def some_then_refuse(source: int, target: int, count: int) -> int:
            if refusal and os.lseek(source, 0, os.SEEK_CUR):
                raise OSError(refusal, os.strerror(refusal))
            return native(source, target, 1_000_000 if refusal else count)

        monkeypatch.setattr(os, "copy_file_range", some_then_refuse)
        with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
            _posix.copy_content(source.fileno(), target.fileno())
        assert (tmp_path / "b").read_bytes() == content

    def test_other_errors_are_no_reason_to_go_on(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(source: int, target: int, count: int) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "copy_file_range", full)
        (tmp_path / "a").write_bytes(b"a")
        with (
            (tmp_path / "a").open("rb") as source,
            (tmp_path / "b").open("wb") as target,
            pytest.raises(OSError, match="No space left"),
        ):
            _posix.copy_content(source.fileno(), target.fileno())
        assert (tmp_path / "b").read_bytes() == b""
