"""A checkpoint's download: what is missing or damaged comes from the hub, what is there is verified."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from stream_omni_build.fetch.checkpoints import Checkpoint, check_content, require_files
from stream_omni_build.fetch.connection import Connection, FetchError
from stream_omni_build.fetch.download import Digests, download, partial_path
from stream_omni_build.fetch.hubs import Listing, RemoteFile, connect, list_files
from stream_omni_build.fetch.record import Fetched, read_record, write_record, wrong_files
from stream_omni_build.progress import Progress

_SPARE_BYTES = 100_000_000  # that a disk keeps


def fetch(checkpoint: Checkpoint, out: Path, progress: Progress, update: bool = False) -> Fetched:
    """``out``/FOLDER, complete and verified; recorded in ``out``/fetched.json.

    Where the record says that it was complete, only the disk is read, and the hub is asked for what is damaged.
    ``update`` asks it in any case whether there is a newer revision. Raises FetchError, CheckpointError or OSError.
    """
    folder, source = out / checkpoint.folder, str(checkpoint.source)
    known = read_record(out).get(checkpoint.folder)
    if known is not None and known.source == source and not update:
        wrong = wrong_files(folder, known, progress.counter(f"verifying {checkpoint.folder}", known.bytes))
        if not wrong:
            check_content(checkpoint, folder)
            progress.say(f"{folder}: {len(known.files)} files, {known.bytes / 1e9:.2f} GB, verified")
            return known
        progress.say("\n".join([f"{folder} is damaged:", *(f"  {path}: {what}" for path, what in wrong.items())]))
        for path in wrong:  # or their sizes might pass for whole
            (folder / path).unlink(missing_ok=True)
    connection = connect(checkpoint.source.hub)
    listing = list_files(connection, checkpoint.source)
    files = [file for file in listing.files if checkpoint.wants(file.path)]
    require_files(checkpoint, source, (file.path for file in files))
    fetched = _bring(checkpoint, listing, files, connection, out, progress)
    check_content(checkpoint, folder)
    write_record(out, read_record(out) | {checkpoint.folder: fetched})
    progress.say(f"{folder}: {len(files)} files, {fetched.bytes / 1e9:.2f} GB, complete")
    return fetched


def _bring(
    checkpoint: Checkpoint,
    listing: Listing,
    files: list[RemoteFile],
    connection: Connection,
    out: Path,
    progress: Progress,
) -> Fetched:
    folder = out / checkpoint.folder
    digests = _digests_of_whole(files, folder, progress.counter("verifying what is there", _present(files, folder)))
    missing = [file for file in files if file.path not in digests]
    left = sum(file.size for file in missing) - sum(_size(partial_path(file, folder)) for file in missing)
    require_room(out, left)
    progress.say(
        f"{checkpoint.source}: {len(missing)} of {len(files)} files to download, {left / 1e9:.2f} GB, from "
        f"{connection.host}"
    )
    count = progress.counter(f"downloading {checkpoint.folder}", left)
    for file in missing:
        with progress.step(f"{file.path} ({file.size / 1e6:.1f} MB)"):
            digests[file.path] = download(file, folder, connection, count)
    content = {file.path: {"bytes": file.size, "sha256": digests[file.path]} for file in files}
    return Fetched(str(checkpoint.source), listing.revision, content)


def _digests_of_whole(files: list[RemoteFile], folder: Path, count: Callable[[int], None]) -> dict[str, str]:
    """SHA-256 of the files that are there and as the hub lists them."""
    found = {}
    for file in files:
        if (folder / file.path).is_file() and _size(folder / file.path) == file.size:
            digests = Digests(file)
            digests.read(folder / file.path)
            count(file.size)
            if digests.right:
                found[file.path] = digests.sha256
    return found


def _present(files: list[RemoteFile], folder: Path) -> int:
    return sum(file.size for file in files if _size(folder / file.path) == file.size)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def require_room(out: Path, needed_bytes: int) -> None:
    """Raises FetchError where the disk cannot take that much more."""
    existing = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes + _SPARE_BYTES:
        short = needed_bytes + _SPARE_BYTES - free
        raise FetchError(
            f"{out} has {free / 1e9:.2f} GB free, and {needed_bytes / 1e9:.2f} GB are still to be downloaded: free "
            f"{short / 1e9:.2f} GB, or choose another --out"
        )
