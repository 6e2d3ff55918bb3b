"""The contract suites on real services, as ``make live`` runs them: on each that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.contract.rig import find_rigs

WORKSPACE = "AZUREML_LIVE_WORKSPACE"


def suites() -> dict[str, list[str]]:
    """The variable that names a service -> the arguments that pytest takes for its suite."""
    rigs: dict[str, list[str]] = {}
    for rig in find_rigs():
        if rig.live:
            rigs.setdefault(rig.live, []).append(rig.name)
    stores = {variable: ["tests/contract", "-k", " or ".join(names)] for variable, names in rigs.items()}
    return {WORKSPACE: ["tests/contract/workspace", "-k", "live"], **stores}


def main(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """:param arguments: more options for pytest; a later ``-k`` is the one that counts."""
    found = {variable: suite for variable, suite in suites().items() if environment.get(variable)}
    if not found:
        print(f"make live: no service is named (docs/live.md): set one of {', '.join(suites())}", file=sys.stderr)
        return 2
    command = [sys.executable, "-m", "pytest"]
    ends = [subprocess.run([*command, *suite, *arguments], env=environment).returncode for suite in found.values()]
    return max(ends)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
