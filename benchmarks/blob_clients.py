"""One client doing one job against a blob service, in a process of its own: what ``benchmarks.blob`` times.

``python -m benchmarks.blob_clients CLIENT JOB URL FOLDER``. The container ``c`` of the service at URL and the local
FOLDER are source and target.
"""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The development account's published key: https://learn.microsoft.com/azure/storage/common/storage-use-azurite"""


def ours(job: str, url: str, folder: Path) -> None:
    """The transfer engine as operators use it: planned, journalled, digested and verified."""
    from airflow_azureml_datastores.core.credentials import AccountKey
    from airflow_azureml_datastores.core.place import Place
    from airflow_azureml_datastores.core.uri import DatastoreUri
    from airflow_azureml_datastores.hooks.local_files import local_folder, local_source
    from airflow_azureml_datastores.stores.azure_blob import AzureBlob
    from airflow_azureml_datastores.transfer.copy import copy_files
    from airflow_azureml_datastores.transfer.source import find_source

    with AzureBlob("devstoreaccount1", "c", endpoint=url).open(AccountKey(KEY)) as store:
        root = Place("bench", store)
        record = root.at("record/")
        if job == "list":
            print(sum(1 for _ in store.list("")))
        elif job == "upload":
            with local_source(folder) as source:
                copy_files(source, root.at("up/ours/"), label="up", say=print, record=record, overwrite=True)
        else:
            source = find_source(lambda _: root, DatastoreUri(None, "data/"))
            with local_folder(folder) as target:
                copy_files(source, target, label="down", say=print, record=record, overwrite=True)


def wasb_hook(job: str, url: str, folder: Path) -> None:
    """The official provider's hook in a loop, as its transfer operators do it."""
    os.environ["AIRFLOW_CONN_BENCH"] = (
        f'{{"conn_type": "wasb", "extra": {{"connection_string": "DefaultEndpointsProtocol=http;'
        f'AccountName=devstoreaccount1;AccountKey={KEY};BlobEndpoint={url};"}}}}'
    )
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    hook = WasbHook("bench")
    if job == "list":
        print(len(hook.get_blobs_list_recursive("c")))
    elif job == "upload":
        for path in sorted(folder.iterdir()):
            hook.load_file(str(path), "c", f"up/wasb/{path.name}", overwrite=True)
    else:
        for name in hook.get_blobs_list_recursive("c", prefix="data/"):
            hook.get_file(str(folder / name.rpartition("/")[2]), "c", name)


def azure_sdk(job: str, url: str, folder: Path) -> None:
    """azure-storage-blob with 16 threads."""
    from azure.storage.blob import ContainerClient

    client = ContainerClient(url, "c", credential=KEY, max_single_put_size=8 << 20, max_block_size=8 << 20)

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


def rclone(job: str, url: str, folder: Path) -> None:
    """rclone with 32 transfers."""
    remote = f":azureblob,account=devstoreaccount1,key='{KEY}',endpoint='{url}':c"
    program = str(Path(sys.executable).with_name("rclone"))
    command = {
        "list": ["lsf", "-R", "--fast-list", "--format", "pst", remote],
        "upload": ["copy", str(folder), f"{remote}/up/rclone"],
        "download": ["copy", f"{remote}/data", str(folder)],
    }[job]
    options = ["--transfers=32", "--checkers=32", "--no-check-dest", "--config=/dev/null"]
    subprocess.run([program, *command, *options], check=True, stdout=subprocess.DEVNULL)


CLIENTS = {"ours": ours, "WasbHook": wasb_hook, "azure-storage-blob": azure_sdk, "rclone": rclone}

if __name__ == "__main__":
    CLIENTS[sys.argv[1]](sys.argv[2], sys.argv[3], Path(sys.argv[4]))
