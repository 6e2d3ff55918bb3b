"""Keeping secrets out of logs, in tasks and in triggers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from airflow.sdk import log

Mask = Callable[[str], None]
"""Lets no log show a secret from now on."""


def masked_by(loop: asyncio.AbstractEventLoop) -> Mask:
    """``mask_secret`` for the threads of a triggerer, done in its event loop.

    Up to Airflow 3.2 a triggerer speaks with its supervisor from that loop alone: a word from another thread would be
    taken for the answer to somebody else's question.
    """

    def mask(secret: str) -> None:
        asyncio.run_coroutine_threadsafe(_mask(secret), loop).result()

    return mask


async def _mask(secret: str) -> None:
    if hasattr(log, "amask_secret"):
        await log.amask_secret(secret)
    else:
        log.mask_secret(secret)  # masks here, and refuses to speak with the supervisor in a loop
