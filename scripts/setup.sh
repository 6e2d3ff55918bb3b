#!/bin/sh
# Make or refresh the virtual environment: scripts/setup.sh VENV STAMP
# PYTHON names the interpreter; without it the first one that fits is taken. The user's own pip configuration holds.
set -eu
venv=$1
stamp=$2
oldest=11 # the minor versions of Python 3 that Airflow supports
newest=14
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

# Whether an interpreter runs (one on PATH may be a shim that does not) and is of a version that Airflow supports.
fits() {
    "$1" -c "import sys; sys.exit(not (3, $oldest) <= sys.version_info[:2] <= (3, $newest))" >/dev/null 2>&1
}

version() {
    "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14}; do
        if fits "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    [ -z "${PYTHON:-}" ] || fail "PYTHON=$PYTHON does not run, or is not Python 3.$oldest to 3.$newest."
    fail "no Python 3.$oldest to 3.$newest runs here. Debian 12, Ubuntu 24.04 and later have one:
    sudo apt-get install python3 python3-venv
Or name one: make PYTHON=/path/to/python3.12"
}

# A virtual environment that runs, was made at this place and for this interpreter.
sound() {
    fits "$venv/bin/python" &&
        head -n 3 "$venv/bin/pip" 2>/dev/null | grep -q "$(cd "$venv" && pwd)/bin/python" &&
        { [ -z "${PYTHON:-}" ] || [ "$(version "$venv/bin/python")" = "$(version "$python")" ]; }
}

# Debian's python3 has no ensurepip unless python3-venv is installed; then whatever else can make one.
create() {
    "$python" -m venv --clear "$venv" >/dev/null 2>&1 ||
        virtualenv --quiet --clear --python "$python" "$venv" 2>/dev/null ||
        uv venv --quiet --clear --seed --python "$python" "$venv" 2>/dev/null ||
        { "$python" -m venv --clear --without-pip "$venv" &&
            "$python" -m pip --quiet --python "$venv/bin/python" install pip; } 2>/dev/null ||
        fail "$python has no ensurepip, so it cannot make a virtual environment. On Debian or Ubuntu:
    sudo apt-get install python$(version "$python")-venv"
}

python=$(find_python)
if [ -e "$venv" ] && [ ! -f "$venv/pyvenv.cfg" ]; then
    fail "$venv is there but is no virtual environment; move it away, or name another place: make VENV=…"
fi
if sound; then
    echo "setup: refreshing $venv" >&2
else
    echo "setup: making $venv with Python $(version "$python"); the first time this takes a few minutes" >&2
    create
fi
rm -f "$venv"/installed-*
"$venv/bin/python" -m pip install -qq -c constraints.txt pip
"$venv/bin/python" -m pip install -qq -c constraints.txt --build-constraint constraints.txt \
    --group build --group checks --group examples --group tests -e '.[databricks,jobs,mount,mssql,mysql,postgres]'
touch "$stamp"
