"""An attempt that was taken for dead and lives: another one of the same publisher comes at any of its calls.

Airflow starts one when it has not heard of a task for a while. It runs to its end, or dies, too; then the first goes
on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from airflow_azureml_datastores.core.manifest import Manifest
from airflow_azureml_datastores.errors import DatastoresError, PathExists
from airflow_azureml_datastores.transfer import engine, journal
from airflow_azureml_datastores.transfer.publish import POLICIES, Policy
from tests.unit.transfer.publishing import Rig
from tests.unit.transfer.stores import Plug, PlugPulled
from tests.unit.transfer.test_publish_crashes import NEW, Scene

NEWER = {"a": b"newer", "n": b"newer"}

Ended = Manifest | DatastoresError | None
"""How an attempt ended: what it published, or why not; None if it died."""

each_policy = pytest.mark.parametrize("policy", POLICIES)


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call after the other, and nothing left to chance."""
    monkeypatch.setattr(engine, "WORKERS", 1)
    monkeypatch.setattr(journal, "_EVERY_SECONDS", 0.0)


def end(publish: Callable[[], Manifest]) -> Ended:
    try:
        return publish()
    except DatastoresError as error:
        return error
    except PlugPulled:
        return None


def met(laid: Scene, other: Callable[[Scene], Manifest], step: int = 1) -> Iterator[tuple[Scene, Ended, Ended]]:
    """For every call of an attempt, or every ``step``-th: another one has come just before it, then the first went on.

    :returns: the scene, and how the first attempt and the other ended.
    """
    for at in range(1, 300, step):
        scene, ended, count = laid.twin(), list[Ended](), 0

        def come(call: str, path: str, scene: Scene = scene, ended: list[Ended] = ended, at: int = at) -> None:
            nonlocal count
            count += 1
            if count == at:
                ended.append(end(lambda: other(scene)))

        first = end(lambda scene=scene, hook=come: scene.publish(scene.rig.watched(hook)))  # type: ignore[misc]
        if not ended:
            assert at > 20
            return
        yield scene, first, ended[0]
    pytest.fail("it never came to an end")


@each_policy
def test_another_attempt_comes(in_memory: Rig, policy: Policy) -> None:
    for scene, first, other in met(Scene(in_memory, policy).lay(), Scene.publish):
        assert isinstance(first, Manifest) or isinstance(other, Manifest)
        assert scene.rig.found() == scene.rig.data() == scene.new
        scene.check_the_end(scene.publish())


def test_another_attempt_comes_with_newer_content(in_memory: Rig) -> None:
    """What is there in the end has been reported as published, and is not mixed."""
    laid = Scene(in_memory, "overwrite").lay()
    for scene, first, other in met(laid, lambda scene: scene.rig.publish(NEWER, "overwrite")):
        published = [NEW] * isinstance(first, Manifest) + [NEWER] * isinstance(other, Manifest)
        assert scene.rig.found() in published
        scene.rig.publish(NEWER, "overwrite")
        assert scene.rig.found() == NEWER
        assert scene.rig.backstage() == []


@each_policy
def test_another_attempt_comes_and_dies(in_memory: Rig, policy: Policy) -> None:
    laid = Scene(in_memory, policy).lay()
    for dies_at in range(1, 200, 5):
        plugs: list[Plug] = []

        def other(scene: Scene, dies_at: int = dies_at, plugs: list[Plug] = plugs) -> Manifest:
            plugs.append(Plug(dies_at, done=True))
            return scene.publish(scene.rig.watched(plugs[-1].before, plugs[-1].after))

        for scene, first, _ in met(laid, other, step=7):
            scene.check_what_readers_see()
            if isinstance(first, Manifest):
                assert scene.rig.found() == scene.new
            with suppress(PathExists):  # with "fail", if the first has copied again what the other had copied already
                scene.check_the_end(scene.publish())
            assert scene.rig.found() == scene.new
        if not any(plug.pulled for plug in plugs):
            return
    pytest.fail("it never came to an end")
