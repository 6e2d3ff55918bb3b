"""Ordinary tools at work in a mounted folder: what comes of it is the same as in a plain one."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.mounts import Files, Rig, make_rig, require_mounts, sh, tree
from tests.integration.transfer_sites import Sites, make_sites
from tests.servers.fixtures import Servers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("mounts")]

MIB = 1 << 20

FILES: Files = {
    "a.txt": b"one\ntwo\nthree\n",
    "empty": b"",
    "data/b.csv": b"x,y\n1,2\n3,4\n",
    "data/deep/er/c.bin": random.Random(1).randbytes(300_000),
    "data/zwölf ☃ %41.txt": "zwölf".encode(),
    "run.sh": b"echo ran",
}

TOOLS = {
    "cp": "cp -r data copy && cp -p a.txt a2.txt && cp a.txt data/deep/",
    "cat": "cat a.txt data/b.csv data/deep/er/c.bin | sha256sum; cat empty; cat missing",
    "append": "echo four >> a.txt; echo first >> new.txt; echo second >> new.txt; cat a.txt new.txt",
    "append to a large one": "head -c 5000000 /dev/zero > big; echo end >> big; tail -c 10 big; wc -c big",
    "overwrite": "echo short > a.txt; cat a.txt; : > data/b.csv; wc -c data/b.csv",
    "move a file": "mv a.txt z.txt; mv z.txt data/; mv -n data/z.txt data/b.csv; mv data/z.txt empty; cat empty",
    "move a folder": (
        "mv data moved; cat moved/b.csv; mkdir in; mv moved in/; find . | sort; cat in/moved/deep/er/c.bin | md5sum"
    ),
    "move onto a folder": "mkdir full empty2; touch full/x; mv -T data full; mv -T data empty2; ls full empty2",
    "tar": (
        "tar cf t.tar data a.txt && mkdir out && tar xf t.tar -C out && find out | sort && "
        "cmp a.txt out/a.txt && rm t.tar"
    ),
    "tar.gz from elsewhere": (
        "tar czf - data | tar xzf - --one-top-level=x; find x -type f | sort | xargs -d '\\n' md5sum"
    ),
    "sed": "sed -i s/two/2/ a.txt && cat a.txt && sed -i.orig 1d data/b.csv && cat data/b.csv data/b.csv.orig",
    "rm": "rm a.txt; rm a.txt; rm -r data; ls -A; rmdir data; mkdir d; rmdir d; ls",
    "rm what is not empty": "rmdir data; rmdir data/deep/er; ls data/deep",
    "find": "find . -type f -size +1k | sort; find . -type d | sort; find . -name '*.csv' -exec wc -l {} +",
    "mkdir": (
        "mkdir -p p/q/r && touch p/q/r/s && ls p/q/r; mkdir data; mkdir p/q; mkdir missing/x; rm p/q/r/s; ls -A p/q/r"
    ),
    "dd": (
        "dd if=/dev/zero of=data/deep/er/c.bin bs=1000 seek=7 count=3 conv=notrunc status=none; "
        "md5sum data/deep/er/c.bin"
    ),
    "truncate": "truncate -s 5 a.txt; cat a.txt; truncate -s 20 a.txt; xxd a.txt; truncate -s 0 run.sh; wc -c run.sh",
    "exclusive": "set -C; echo x > a.txt; echo y > fresh; cat a.txt fresh",
    "links and devices are refused": (
        "ln -s a.txt l 2>/dev/null && rm l; ln a.txt h 2>/dev/null && rm h; mkfifo f 2>/dev/null && rm f; ls"
    ),
    "permissions are taken": "chmod 600 a.txt && touch -d 2020-01-01 a.txt && cp -a data kept && cat a.txt && ls kept",
    "install and diff": "install -m 644 a.txt b.txt && diff a.txt b.txt && diff -r data data && cmp a.txt run.sh",
    "a shell script": (
        'bash run.sh; while read -r line; do echo "<$line>"; done < a.txt; (cd data && pwd | xargs basename)'
    ),
    "split and join": (
        "split -b 50000 data/deep/er/c.bin part. && cat part.* | cmp - data/deep/er/c.bin && ls part.* | wc -l"
    ),
    "sort in place": "sort -r -o a.txt a.txt; cat a.txt; sort a.txt > a.tmp && mv a.tmp a.txt; cat a.txt",
    "git": (
        "git init -q repo && cd repo && git config user.email a@b && git config user.name a && "
        "cp ../a.txt . && git add . && git commit -qm x && git status --short && git fsck --strict 2>&1 && "
        "git log --format=%s && rm -rf .git && ls -A"
    ),
    "unzip": "$PYTHON -m zipfile -c z.zip data && $PYTHON -m zipfile -e z.zip out && find out | sort && rm z.zip",
    "cp what is newer": (
        "cp -ru data/. mirror/; cp -r data mirror; echo 5,6 >> data/b.csv; cp -u data/b.csv mirror/; cat mirror/b.csv"
    ),
}

ON_BLOB = ("append", "cp", "git", "move", "rm", "sed", "tar")


@pytest.fixture(scope="module")
def sites(servers: Servers) -> Iterator[Sites]:
    require_mounts()
    with make_sites(servers) as made:
        yield made


@pytest.fixture
def rig(sites: Sites, request: pytest.FixtureRequest) -> Iterator[Rig]:
    with make_rig(sites.new(getattr(request, "param", "blob"))) as made:
        yield made


both = pytest.mark.parametrize("rig", ["local", "blob"], indirect=True)


def compare(rig: Rig, tmp_path: Path, command: str) -> None:
    """Do something in a plain folder and in a mounted one."""
    plain = tmp_path / "plain"
    for path, content in FILES.items():
        (plain / path).parent.mkdir(parents=True, exist_ok=True)
        (plain / path).write_bytes(content)
    rig.put(FILES)
    said = sh(plain, command)
    expected = tree(plain)
    with rig.mounted() as folder:
        assert sh(folder, command) == said
        assert tree(folder) == expected
    assert rig.get() == {path: content for path, content in expected.items() if content is not None}
    assert rig.said == []


@pytest.mark.parametrize(
    ("rig", "tool"),
    [("local", tool) for tool in TOOLS] + [("blob", tool) for tool in TOOLS if tool.startswith(ON_BLOB)],
    indirect=["rig"],
)
def test_tool(rig: Rig, tool: str, tmp_path: Path) -> None:
    compare(rig, tmp_path, TOOLS[tool])


PROGRAMS = {
    "sqlite": """
import sqlite3
def connect(): return sqlite3.connect("my.db")
with connect() as db:
    db.execute("create table t (n integer primary key, text)")
    db.executemany("insert into t values (?, ?)", [(n, f"row {n}") for n in range(5000)])
db.close()
with connect() as db:
    db.execute("update t set text = upper(text) where n % 7 = 0")
    db.execute("delete from t where n > 4000")
db.close()
db = connect()
for query in ("select count(*), sum(n), max(text) from t", "pragma integrity_check"):
    print(db.execute(query).fetchall())
try:
    with db:
        db.execute("insert into t values (9000, 'x')")
        raise ValueError
except ValueError:
    print(db.execute("select count(*) from t").fetchall())
db.execute("vacuum")
db.close()
import os
print(sorted(os.listdir()))
""",
    "random writes": """
import os, random
give = random.Random(3)
with open("data/deep/er/c.bin", "r+b") as file:
    for _ in range(300):
        file.seek(give.randrange(400_000))
        file.write(give.randbytes(give.randrange(5000)))
        file.seek(give.randrange(300_000))
        file.read(give.randrange(3000))
fd = os.open("sparse", os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(fd, b"end", 1_000_000)
os.pwrite(fd, b"begin", 0)
print(os.pread(fd, 10, 999_995), os.fstat(fd).st_size)
os.ftruncate(fd, 500); os.lseek(fd, 0, os.SEEK_END); os.write(fd, b"more"); os.close(fd)
print(os.path.getsize("sparse"))
""",
    "handles": """
import os
first, second = open("a.txt", "r+"), open("a.txt")
first.write("ONE"); first.flush()
print(second.read())
first.seek(0, 2); first.write("four\\n"); first.flush()
print(second.read())
os.rename("a.txt", "b.txt")
first.write("five\\n"); first.close()
second.seek(0); print(second.read(), os.path.exists("a.txt"))
third = open("b.txt", "r+"); os.unlink("b.txt"); third.write("gone"); third.seek(0)
print(third.read(), sorted(os.listdir("data")))
open("b.txt", "w").write("another")
third.close(); print(open("b.txt").read())
reader = open("data/b.csv")
with open("data/tmp", "w") as file: file.write("replaced")
os.replace("data/tmp", "data/b.csv")
print(reader.read(), open("data/b.csv").read(), sorted(os.listdir("data")))
try: open("run.sh", "x")
except FileExistsError as error: print(error)
with open("fresh", "x") as file: file.write("x")
inner = open("data/deep/er/c.bin", "r+b"); inner.write(b"head")
os.rename("data/deep", "data/deeper"); inner.write(b"more"); inner.close()
print(open("data/deeper/er/c.bin", "rb").read(10))
""",
    "memory maps": """
import mmap
with open("data/deep/er/c.bin", "r+b") as file, mmap.mmap(file.fileno(), 0) as area:
    print(len(area), area[:4])
    area[100_000:100_005] = b"hello"
    area.flush()
    area[0:3] = b"abc"
with open("late", "w+b") as file:
    file.truncate(10_000)
    area = mmap.mmap(file.fileno(), 10_000)
area[5000:5003] = b"xyz"
area.close()
print(open("late", "rb").read()[4999:5005], open("data/deep/er/c.bin", "rb").read(5))
with open("a.txt", "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area: print(area[:])
""",
    "locks": """
import fcntl, os
with open("a.txt", "r+") as one, open("a.txt", "r+") as two:
    fcntl.flock(one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    try: fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError: print("locked")
    fcntl.flock(one, fcntl.LOCK_UN)
    fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.lockf(one, fcntl.LOCK_EX)
""",
    "pandas": """
import numpy as np, pandas as pd
frame = pd.DataFrame({"n": range(20_000), "text": [f"row {n}" for n in range(20_000)], "x": np.arange(20_000) / 7})
frame.to_csv("data/frame.csv", index=False)
frame.to_csv("frame.csv.gz", index=False, compression={"method": "gzip", "mtime": 1})
frame.to_pickle("frame.pkl")
for read in (pd.read_csv("data/frame.csv"), pd.read_csv("frame.csv.gz"), pd.read_pickle("frame.pkl")):
    print(read.shape, int(read.n.sum()), round(read.x.sum(), 3))
print(sum(len(part) for part in pd.read_csv("data/frame.csv", chunksize=3000)))
np.save("array.npy", frame.x.to_numpy())
print(np.load("array.npy", mmap_mode="r")[100:103])
with open("data/frame.csv", "a") as file: frame.tail(1).to_csv(file, header=False, index=False)
print(len(pd.read_csv("data/frame.csv")))
""",
}

ANYTHING = """
import errno, os, random, sys
give = random.Random(int(sys.argv[1]))
opened = []

def name(): return "/".join(give.choice("abc") for _ in range(give.randrange(1, 4)))
def data(): return give.randbytes(give.choice([0, 1, 100, 5000, 200_000]))
def opened_for(flags):
    fd = os.open(name(), flags)
    opened.append(fd)
def with_opened(do):
    if opened: return do(give.choice(opened))
def close():
    if opened: os.close(opened.pop(give.randrange(len(opened))))
def write_whole():
    with open(name(), give.choice(["wb", "ab", "xb"])) as file: file.write(data())
def write_part():
    with open(name(), "r+b") as file: file.seek(give.randrange(6000)); file.write(data()[:3000])
def read_all():
    with open(name(), "rb") as file: return hash_of(file.read())
def size_of():
    path = name()
    if not os.path.isdir(path): return os.path.getsize(path)
def hash_of(content): return len(content), sum(content[::7])

DO = [
    write_whole, write_whole, write_part, read_all, read_all, close, close,
    lambda: os.mkdir(name()), lambda: os.makedirs(name(), exist_ok=True), lambda: os.rmdir(name()),
    lambda: os.unlink(name()), lambda: os.rename(name(), name()), lambda: os.rename(name(), name()),
    lambda: os.truncate(name(), give.randrange(8000)), lambda: sorted(os.listdir(name())), size_of,
    lambda: opened_for(os.O_RDWR), lambda: opened_for(os.O_RDWR | os.O_CREAT), lambda: opened_for(os.O_RDONLY),
    lambda: opened_for(os.O_RDWR | os.O_TRUNC), lambda: opened_for(os.O_RDWR | os.O_CREAT | os.O_EXCL),
    lambda: with_opened(lambda fd: hash_of(os.pread(fd, 300_000, give.randrange(100)))),
    lambda: with_opened(lambda fd: os.pwrite(fd, data(), give.randrange(5000))),
    lambda: with_opened(lambda fd: os.ftruncate(fd, give.randrange(5000))),
    lambda: with_opened(os.fsync),
]
for step in range(400):
    do = give.randrange(len(DO))
    try:
        print(step, do, DO[do]())
    except OSError as error:
        print(step, do, errno.errorcode[error.errno])
for fd in opened: os.close(fd)
for folder, folders, files in sorted(os.walk(".")):
    print(folder, sorted(folders), [(file, os.path.getsize(os.path.join(folder, file))) for file in sorted(files)])
"""


@pytest.mark.parametrize(
    ("rig", "seed"), [("local", 3), ("local", 27), ("blob", 4), ("lake", 5), ("lake", 11)], indirect=["rig"]
)
def test_anything(rig: Rig, seed: int, tmp_path: Path) -> None:
    """Some hundred calls at random, on few names, so that they meet."""
    script = tmp_path / "program.py"
    script.write_text(ANYTHING)
    compare(rig, tmp_path, f"mkdir in && cd in && $PYTHON {script} {seed}")


@both
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(rig: Rig, program: str, tmp_path: Path) -> None:
    if program == "pandas":
        pytest.importorskip("pandas")
    script = tmp_path / "program.py"
    script.write_text(PROGRAMS[program])
    compare(rig, tmp_path, f"$PYTHON {script}")


@pytest.mark.skipif(not shutil.which("sqlite3"), reason="no sqlite3 program")
def test_sqlite3(rig: Rig, tmp_path: Path) -> None:
    many = (
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 3000) insert into t select i from n;"
    )
    compare(
        rig,
        tmp_path,
        f"sqlite3 my.db 'create table t (i);' && sqlite3 my.db '{many}' && sqlite3 my.db 'select sum(i) from t' && "
        f"sqlite3 my.db 'delete from t where i > 10; select count(*) from t; pragma integrity_check'",
    )


def test_a_large_file(rig: Rig, tmp_path: Path) -> None:
    """There and back through a cache of a fifth of that."""
    large, size = tmp_path / "large", 100 * MIB
    large.write_bytes(random.Random(5).randbytes(size))
    digest = subprocess.check_output(["sha256sum", large]).split()[0].decode()
    with rig.mounted(cache=size // 5) as folder:
        assert sh(folder, f"cp {large} here && wc -c here") == f"{size} here\n[0]"
        assert sh(folder, "sha256sum here").startswith(digest)
    assert rig.store.stat("here").size == size
    with rig.mounted(writable=False) as folder:
        assert sh(folder, "sha256sum here & sha256sum here; wait").count(digest) == 2


def test_a_folder_of_10_000_files(sites: Sites) -> None:
    """It is listed once for all that find asks, and again for what it does later."""
    with make_rig(sites.new("local")) as rig:
        root = Path(rig.site.location.path)  # type: ignore[attr-defined]
        for folder in range(10):
            (root / f"many/{folder}").mkdir(parents=True)
            for number in range(1000):
                (root / f"many/{folder}/{number}").write_bytes(b"%d" % number)
        with rig.mounted() as folder:
            assert sh(folder, "find . -type f | wc -l; find . -type f -size -2 | wc -l") == "10000\n10000\n[0]"
            assert sh(folder, "ls many/3 | wc -l; cat many/3/* | wc -c; rm -r many/4; find . | wc -l") == (
                f"1000\n{sum(len(str(n)) for n in range(1000))}\n9011\n[0]"
            )


def test_concurrent_readers_and_writers(rig: Rig, tmp_path: Path) -> None:
    compare(
        rig,
        tmp_path,
        "for i in $(seq 8); do (for j in $(seq 10); do echo $i-$j >> log.$i; cat data/deep/er/c.bin > copy.$i; "
        "cmp copy.$i data/deep/er/c.bin; done) & done; wait; cat log.*",
    )


def test_what_is_not_unmounted_by_others(rig: Rig) -> None:
    """The names of a mount in the system's list, with a space in the folder's path."""
    odd = rig.base / "with space"
    odd.mkdir()
    rig.base = odd
    rig.put(FILES)
    with rig.mounted("data/") as folder:
        assert os.path.ismount(folder)
        assert "azureml://datastores/lake/paths/data/" in Path("/proc/self/mounts").read_text()
        assert sorted(os.listdir(folder)) == ["b.csv", "deep", "zwölf ☃ %41.txt"]
