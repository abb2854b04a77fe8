"""Keeps a graph's state in the job's checkpoint, so that a run whose process was killed continues at the stage it was in.

Only the newest state is kept: one blob of msgpack. It is written before the next stage begins if the graph is run with
`durability="sync"`; with LangGraph's default a stage could run again. Nothing is ever pickled, and only plain values, times and
the like are restored: a blob that names any other class is not executed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
)
from langgraph.checkpoint.base import Checkpoint as GraphCheckpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from processors.protocol import Checkpoint

#: Layout of the blob and meaning of the state. A blob of another version is ignored: the run begins again.
VERSION = 1


def serializer() -> JsonPlusSerializer:
    """Return LangGraph's serializer for msgpack alone: no pickle, and no class that is not on its list of safe ones."""
    return JsonPlusSerializer(pickle_fallback=False, allowed_msgpack_modules=None)


class JobCheckpointer(BaseCheckpointSaver[int]):
    """Thread-safe. `checkpoint`: of a job's context; its errors (ConnectionFailed, PayloadTooLarge) pass through.

    Values that msgpack has no form for raise TypeError, as they would be pickled otherwise.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(serde=serializer())
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        #: thread, id, parent, checkpoint, metadata, and writes: [task id, channel, value, task path, place].
        self._kept: dict[str, Any] | None = None
        self._read = False

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest state of the config's thread; None without one, or if an older one is asked for."""
        with self._lock:
            kept = self._load()
            wanted = get_checkpoint_id(config)
            if kept is None or kept["thread"] != _thread(config) or wanted not in (None, kept["id"]):
                return None
            writes = sorted(kept["writes"], key=lambda one: (one[3], one[0], one[4]))
            pending: list[PendingWrite] = [(task, channel, value) for task, channel, value, _, _ in writes]
            parent = None if kept["parent"] is None else _config(kept["thread"], kept["parent"])
            return CheckpointTuple(
                _config(kept["thread"], kept["id"]), kept["checkpoint"], kept["metadata"], parent, pending
            )

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the newest state, the only one that is kept."""
        found = None if config is None else self.get_tuple(config)
        if found is not None and before is None and limit != 0:
            yield found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: GraphCheckpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Replace the state by a newer one."""
        thread = _thread(config)
        with self._lock:
            self._store(
                {
                    "version": VERSION,
                    "thread": thread,
                    "id": checkpoint["id"],
                    "parent": get_checkpoint_id(config),
                    "checkpoint": dict(checkpoint),
                    "metadata": dict(metadata),
                    "writes": [],
                }
            )
        return _config(thread, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Add what a finished task wrote. Errors are left out: a stage that failed runs again. Late writes are ignored."""
        with self._lock:
            kept = self._load()
            if kept is None or kept["id"] != get_checkpoint_id(config):
                return
            known = {(one[0], one[4]) for one in kept["writes"]}
            added = [
                [task_id, channel, value, task_path, place]
                for n, (channel, value) in enumerate(writes)
                if (place := WRITES_IDX_MAP.get(channel, n)) >= 0 and (task_id, place) not in known
            ]
            if added:
                self._store({**kept, "writes": [*kept["writes"], *added]})

    def delete_thread(self, thread_id: str) -> None:
        """Do nothing: the engine deletes a job's checkpoint once the job has succeeded."""

    def _load(self) -> dict[str, Any] | None:
        if not self._read:
            blob = self._checkpoint.get()
            found = None if blob is None else self.serde.loads_typed(("msgpack", blob))
            self._kept = found if isinstance(found, dict) and found.get("version") == VERSION else None
            self._read = True
        return self._kept

    def _store(self, kept: dict[str, Any]) -> None:
        kind, blob = self.serde.dumps_typed(kept)
        assert kind == "msgpack"
        self._checkpoint.put(blob)
        self._kept, self._read = kept, True


def _thread(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def _config(thread: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": "", "checkpoint_id": checkpoint_id}}
