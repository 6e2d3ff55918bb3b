"""What goes wrong between a client and Resource Manager; the other kinds of trouble are those of the proxy."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.servers.azureml.web import Refusal
from tests.servers.fault import Fault, LoseResponse, Meanwhile

__all__ = ["ArmError", "Fault", "LoseResponse", "Meanwhile", "Plan", "quota_exceeded", "throttled"]


@dataclass
class ArmError(Fault):
    """The request is answered with an error in Resource Manager's form, and has no effect."""

    status: int
    code: str = "InternalServerError"
    message: str = "The server has encountered an unexpected error."
    headers: Mapping[str, str] = field(default_factory=dict)

    def refusal(self) -> Refusal:
        return Refusal(self.status, self.code, self.message, headers=self.headers)


def throttled(match: str, *, after: int = 1, times: int = 1) -> ArmError:
    """https://learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling"""
    return ArmError(
        match,
        429,
        "TooManyRequests",
        f"The request is being throttled as the limit has been reached for operation type. Please retry after "
        f"'{after}' seconds.",
        {"Retry-After": str(after), "x-ms-ratelimit-remaining-subscription-reads": "0"},
        times=times,
    )


def quota_exceeded(match: str = r"PUT .*/jobs/", *, times: int = 1) -> ArmError:
    """What submitting a job on a cluster without cores left is answered with."""
    return ArmError(
        match,
        400,
        "UserError",
        "The specified subscription has a total vCPU quota of 24 and is less than the requested compute training "
        "cluster and/or compute instance's min nodes of 1 which maps to 48 vCPUs. QuotaExceeded.",
        times=times,
    )


class Plan:
    """The faults to come; for each request the first one that strikes counts."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, *faults: Fault) -> None:
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def strike(self, request: str) -> Fault | None:
        with self._lock:
            return next((fault for fault in self._faults if fault.strikes(request)), None)
