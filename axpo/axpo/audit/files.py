"""Defines `records`: the records of files of any of the usual kinds, one after the other, each with its place."""

from __future__ import annotations

import codecs
import gzip
import json
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from pydantic_core import from_json

from axpo.audit.fields import UnreadableError
from axpo.records._folder import CONFIG, ROLLOUTS, is_run
from axpo.records._manifest import MANIFEST
from axpo.settings.config import ConfigError
from axpo_envs.plumbing.extras import requiring
from axpo_envs.plumbing.surrogates import well_formed

SUFFIXES: Final = (".jsonl", ".jsonl.gz", ".ndjson", ".json", ".parquet", ".eval")
_LONGEST_LINE: Final = 64 << 20
"""Bytes of a line; a longer one is skipped and counted."""
_WRAPPERS: Final = ("samples", "rollouts", "results", "data", "records")
_LARGEST_SAMPLE: Final = 256 << 20
_HEADERS: Final = ("header.json", "_journal/start.json")
"""Where a log says what it is of: at its end, and, while it is written, at its beginning."""
_ZSTANDARD: Final = 93
"""How inspect_ai compresses its logs; a method that zipfile knows from Python 3.14 on."""


class Placed(NamedTuple):
    """A record, or why there is none, and where."""

    place: str
    record: Mapping[str, Any] | UnreadableError


def files_of(path: Path) -> list[Path]:
    """The files to read: the path itself, or what a folder holds of the known kinds, in order of their names.

    Raises:
        ConfigError: there is no such path, or nothing to read in it.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise ConfigError(f"{path}: expected a file or a folder; there is none")
    within = path / ROLLOUTS if (path / ROLLOUTS).is_dir() else path
    runs = _runs_in(within)
    found = sorted(file for file in within.rglob("*") if file.is_file() and _is_meant(file, runs))
    if not found and runs:
        raise ConfigError(
            f"{path}: expected rollouts; the runs of axpo in it kept none (log.rollouts_every, log.rollouts_per_step)"
        )
    if not found:
        raise ConfigError(f"{path}: expected files that end in {', '.join(SUFFIXES)}; the folder has none")
    return found


def _runs_in(folder: Path) -> set[Path]:
    """The folders of runs of axpo: the folder itself, or those below it."""
    return {file.parent for file in (folder / CONFIG, *folder.rglob(f"*/{CONFIG}")) if is_run(file.parent)}


def _is_meant(file: Path, runs: Set[Path]) -> bool:
    """Whether a file may hold rollouts. Of a run of axpo those are meant, not its metrics, nor its checkpoints."""
    if not file.name.endswith(SUFFIXES) or file.name == MANIFEST:
        return False
    run = next((parent for parent in file.parents if parent in runs), None)
    return run is None or file.relative_to(run).parts[0] == ROLLOUTS


def records(file: Path) -> Iterator[Placed]:
    """The records of a file: lines of JSON, a list or an object that holds one, rows of a table, samples of a log.

    A line that is no JSON object is given as the error that says so.

    Raises:
        ConfigError: the file as a whole is none of its kind.
    """
    if file.suffix == ".parquet":
        return _rows(file)
    if file.suffix == ".eval":
        return _samples(file)
    if file.suffix == ".json":
        return _json(file)
    return _lines(file)


def _lines(file: Path) -> Iterator[Placed]:
    with gzip.open(file, "rb") if file.suffix == ".gz" else file.open("rb") as stream:
        number = 0
        while line := stream.readline(_LONGEST_LINE):
            number += 1
            place = f"{file}:{number}"
            if not line.endswith(b"\n") and len(line) == _LONGEST_LINE:
                while (rest := stream.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                    pass
                yield Placed(place, UnreadableError(f"expected a line of at most {_LONGEST_LINE} bytes; it is longer"))
            elif line.strip():
                yield Placed(place, _object(line))


def _object(text: bytes) -> Mapping[str, Any] | UnreadableError:
    try:
        found = _read(text)
    except ValueError as error:
        return UnreadableError(f"expected a JSON object; {error}")
    return found if isinstance(found, dict) else UnreadableError(f"expected a JSON object; got {type(found).__name__}")


def _read(text: bytes) -> Any:
    """JSON, behind a byte order mark or not.

    Halves of surrogate pairs, which writers leave where they cut a text within a character, become U+FFFD.
    """
    text = text.removeprefix(codecs.BOM_UTF8)
    try:
        return from_json(text)
    except ValueError as error:
        if b"\\ud" not in text.lower():
            raise
        try:
            return from_json(well_formed(json.dumps(json.loads(text), ensure_ascii=False)))
        except (ValueError, RecursionError):
            raise error from None


def _json(file: Path) -> Iterator[Placed]:
    try:
        found = _read(file.read_bytes())
    except ValueError as error:
        # Many stacks end files of lines in .json.
        if b"\n" in file.read_bytes()[:1_000_000].strip():
            yield from _lines(file)
            return
        raise ConfigError(f"{file}: expected JSON; {error}") from None
    task = _task(found)
    if isinstance(found, dict):
        found = next((found[name] for name in _WRAPPERS if isinstance(found.get(name), list)), [found])
    if not isinstance(found, list):
        raise ConfigError(f"{file}: expected a list of records; got {type(found).__name__}")
    for number, record in enumerate(found):
        what = (
            _of_task(record, task)
            if isinstance(record, dict)
            else UnreadableError(f"expected an object; got {type(record).__name__}")
        )
        yield Placed(f"{file}[{number}]", what)


def _rows(file: Path) -> Iterator[Placed]:
    with requiring("datasets", f"reading {file.name}"):
        import pyarrow
        import pyarrow.parquet
    try:
        table = pyarrow.parquet.ParquetFile(file)
    except (pyarrow.ArrowException, OSError) as error:
        raise ConfigError(f"{file}: expected a Parquet file; {error}") from None
    number = 0
    with table:
        for batch in table.iter_batches(batch_size=256):
            for row in batch.to_pylist():
                yield Placed(f"{file}[{number}]", row)
                number += 1


def _samples(file: Path) -> Iterator[Placed]:
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError) as error:
        raise ConfigError(f"{file}: expected a log of inspect_ai (a zip file); {error}") from None
    with archive:
        infos = archive.infolist()
    samples = [info for info in infos if info.filename.startswith("samples/") and info.filename.endswith(".json")]
    with _opened(file, [info.compress_type for info in samples]) as archive:
        task = next((found for name in _HEADERS if (found := _header_task(archive, name)) is not None), None)
        for info in samples:
            record = _sample(archive, info)
            placed = record if isinstance(record, UnreadableError) else _of_task(record, task)
            yield Placed(f"{file}!{info.filename}", placed)


def _header_task(archive: zipfile.ZipFile, name: str) -> str | None:
    if name not in archive.namelist():
        return None
    header = _sample(archive, archive.getinfo(name))
    return None if isinstance(header, UnreadableError) else _task(header)


def _task(log: Any) -> str | None:
    """The task that a log of inspect_ai is of; its samples do not say."""
    about = log.get("eval") if isinstance(log, dict) else None
    task = about.get("task") if isinstance(about, dict) else None
    return task if isinstance(task, str) else None


def _of_task(record: Mapping[str, Any], task: str | None) -> Mapping[str, Any]:
    return record if task is None else {"task": task, **record}


def _opened(file: Path, methods: Sequence[int]) -> zipfile.ZipFile:
    if _ZSTANDARD not in methods or sys.version_info >= (3, 14):
        return zipfile.ZipFile(file)
    with requiring("inspect", f"reading {file.name}, which is compressed with Zstandard,"):
        from backports.zstd.zipfile import ZipFile
    return cast(zipfile.ZipFile, ZipFile(file))


def _sample(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Mapping[str, Any] | UnreadableError:
    if info.file_size > _LARGEST_SAMPLE:
        return UnreadableError(f"expected at most {_LARGEST_SAMPLE} bytes; got {info.file_size}")
    try:
        with archive.open(info.filename) as stream:
            # What the file says of its size binds nobody.
            return _object(stream.read(_LARGEST_SAMPLE))
    except Exception as error:  # each method of compression has its own
        return UnreadableError(f"expected a readable sample; {error}")
