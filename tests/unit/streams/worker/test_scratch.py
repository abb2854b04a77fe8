"""Scratch folders: those of crashed workers of this host are removed, every other is left alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.worker.scratch import Scratch


def test_the_folder_of_a_crashed_worker_is_removed_and_that_of_a_living_one_stays(tmp_path: Path) -> None:
    living, crashed = Scratch(tmp_path, "a"), Scratch(tmp_path, "b")
    os.close(crashed._lock)  # as the kernel does when a process ends
    later = Scratch(tmp_path, "c")
    assert living.path.is_dir()
    assert not crashed.path.exists()
    living.remove()
    later.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_of_another_host_on_the_same_volume_keeps_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("socket.gethostname", lambda: "elsewhere")
        other = Scratch(tmp_path, "a")
    os.close(other._lock)  # a volume whose locks do not reach other hosts
    Scratch(tmp_path, "b").remove()
    assert other.path.is_dir()
