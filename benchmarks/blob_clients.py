"""One client doing one job against a blob service, in a process of its own.

``python -m benchmarks.blob_clients CLIENT JOB URL FOLDER``. The container ``bench`` of the service at URL and the local
FOLDER are source and target. Prints the seconds that the job took, wall and CPU, without the client's imports: an
Airflow task has most of them loaded. Each client is a generator that is ready where it yields.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The development account's published key: https://learn.microsoft.com/azure/storage/common/storage-use-azurite"""


def ours(job: str, url: str, folder: Path) -> Iterator[None]:
    """The transfer engine as operators use it: planned, journalled, digested and verified."""
    import azure.storage.blob  # noqa: F401  (what opening the store imports)
    import obstore  # noqa: F401

    from airflow_azureml_datastores.core.credentials import AccountKey
    from airflow_azureml_datastores.core.place import Place
    from airflow_azureml_datastores.core.uri import DatastoreUri
    from airflow_azureml_datastores.hooks.local_files import local_folder, local_source
    from airflow_azureml_datastores.stores.azure_blob import AzureBlob
    from airflow_azureml_datastores.transfer.copy import prepare_copy
    from airflow_azureml_datastores.transfer.source import find_source

    yield
    with AzureBlob("devstoreaccount1", "bench", endpoint=url).open(AccountKey(KEY)) as store:
        root = Place("bench", store)
        record = root.at("record/")
        if job == "list":
            print(sum(1 for _ in store.list("")))
        elif job == "upload":
            with local_source(folder) as source:
                prepare_copy(source, root.at("up/ours/"), label="up", say=print, record=record, overwrite=True)()
        else:
            source = find_source(lambda _: root, DatastoreUri(None, "data/"))
            with local_folder(folder) as target:
                prepare_copy(source, target, label="down", say=print, record=record, overwrite=True)()


def wasb_hook(job: str, url: str, folder: Path) -> Iterator[None]:
    """The official provider's hook in a loop, as its transfer operators do it."""
    os.environ["AIRFLOW_CONN_BENCH"] = (
        f'{{"conn_type": "wasb", "extra": {{"connection_string": "DefaultEndpointsProtocol=http;'
        f'AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={url};"}}}}'
    )
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    yield
    hook = WasbHook("bench")
    if job == "list":
        print(len(hook.get_blobs_list_recursive("bench")))
    elif job == "upload":
        for path in sorted(folder.iterdir()):
            hook.load_file(str(path), "bench", f"up/wasb/{path.name}", overwrite=True)
    else:
        for name in hook.get_blobs_list_recursive("bench", prefix="data/"):
            hook.get_file(str(folder / name.rpartition("/")[2]), "bench", name)


def azure_sdk(job: str, url: str, folder: Path) -> Iterator[None]:
    """azure-storage-blob with 16 threads."""
    from azure.storage.blob import ContainerClient

    yield
    client = ContainerClient(url, "bench", credential=KEY, max_single_put_size=8 << 20, max_block_size=8 << 20)

    def up(path: Path) -> None:
        with path.open("rb") as file:
            client.upload_blob(f"up/sdk/{path.name}", file, overwrite=True, max_concurrency=4)

    def down(name: str) -> None:
        with (folder / name.rpartition("/")[2]).open("wb") as file:
            client.download_blob(name, max_concurrency=4).readinto(file)

    if job == "list":
        print(sum(1 for _ in client.list_blobs()))
        return
    with ThreadPoolExecutor(16) as pool:
        if job == "upload":
            list(pool.map(up, sorted(folder.iterdir())))
        else:
            list(pool.map(down, [blob.name for blob in client.list_blobs("data/")]))


def rclone(job: str, url: str, folder: Path) -> Iterator[None]:
    """rclone with 32 transfers."""
    yield
    remote = f":azureblob,account=devstoreaccount1,key='{KEY}',endpoint='{url}':bench"
    program = str(Path(sys.executable).with_name("rclone"))
    command = {
        "list": ["lsf", "-R", "--fast-list", "--format", "pst", remote],
        "upload": ["copy", str(folder), f"{remote}/up/rclone"],
        "download": ["copy", f"{remote}/data", str(folder)],
    }[job]
    options = ["--transfers=32", "--checkers=32", "--no-check-dest", "--config=/dev/null"]
    subprocess.run([program, *command, *options], check=True, stdout=subprocess.DEVNULL)


def _cpu() -> float:
    """CPU seconds of this process and of those that it started and that have ended."""
    times = os.times()
    return sum(times[:4])


CLIENTS = {"ours": ours, "WasbHook": wasb_hook, "azure-storage-blob": azure_sdk, "rclone": rclone}

if __name__ == "__main__":
    client = CLIENTS[sys.argv[1]](sys.argv[2], sys.argv[3], Path(sys.argv[4]))
    next(client)
    wall, cpu = time.perf_counter(), _cpu()
    for _ in client:
        pass
    print("seconds", time.perf_counter() - wall, _cpu() - cpu)
