"""Records of started processes: one small JSON file each, replaced atomically, readable by people."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from streams.stack.process import ProcessId


@dataclass(frozen=True)
class ProcessRecord:
    name: str
    process: ProcessId
    started_at: datetime
    log: Path
    facts: Mapping[str, str]
    stop_signal: signal.Signals
    stop_seconds: float

    @classmethod
    def new(
        cls,
        name: str,
        process: ProcessId,
        log: Path,
        facts: Mapping[str, str],
        stop_signal: signal.Signals,
        stop_seconds: float,
    ) -> ProcessRecord:
        return cls(name, process, datetime.now(UTC), log, facts, stop_signal, stop_seconds)

    def to_json(self) -> str:
        return json.dumps(
            {
                "name": self.name,
                "pid": self.process.pid,
                "birth": self.process.birth,
                "started_at": self.started_at.isoformat(),
                "log": str(self.log),
                "facts": dict(self.facts),
                "stop_signal": self.stop_signal.name,
                "stop_seconds": self.stop_seconds,
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> ProcessRecord:
        stored = json.loads(text)
        return cls(
            name=stored["name"],
            process=ProcessId(stored["pid"], stored["birth"]),
            started_at=datetime.fromisoformat(stored["started_at"]),
            log=Path(stored["log"]),
            facts=stored["facts"],
            stop_signal=signal.Signals[stored["stop_signal"]],
            stop_seconds=stored["stop_seconds"],
        )


class ProcessRecords:
    """The folder with the records. An unreadable file counts as absent: the mark in its environment still finds the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, name: str) -> ProcessRecord | None:
        try:
            return ProcessRecord.from_json(self._path(name).read_text())
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def all(self) -> list[ProcessRecord]:
        found = [self.read(path.stem) for path in self._folder.glob("*.json")]
        return sorted((record for record in found if record is not None), key=lambda record: record.started_at)

    def write(self, record: ProcessRecord) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = self._path(record.name).with_suffix(".new")
        fresh.write_text(record.to_json() + "\n")
        fresh.replace(self._path(record.name))

    def remove(self, name: str) -> None:
        self._path(name).unlink(missing_ok=True)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.json"
