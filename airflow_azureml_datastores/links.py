"""Links from a task to where its work can be seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.providers.common.compat.sdk import BaseOperatorLink, XCom

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey


class StudioLink(BaseOperatorLink):
    """The page of a task's job in Azure ML Studio; none for a run on the worker."""

    name = "Azure ML Studio"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        return XCom.get_value(ti_key=ti_key, key=self.xcom_key) or ""

    @classmethod
    def show(cls, context: Context, url: str) -> None:
        """Show the link from now on, also while the task runs or waits."""
        if url:
            context["ti"].xcom_push(key=cls().xcom_key, value=url)
