"""What a child says is read to its end, and no longer waited for than somebody wants."""

from __future__ import annotations

import io
import os
import threading

from streams.worker.pipe import PipeReader


def reading() -> tuple[PipeReader, io.BufferedReader, int]:
    read, write = os.pipe()
    source = PipeReader(read)
    return source, io.BufferedReader(source, 1 << 16), write


def test_it_ends_where_the_pipe_does() -> None:
    _, stream, write = reading()
    os.write(write, b"abcdef")
    os.close(write)
    assert (stream.read(4), stream.read(4), stream.read(4)) == (b"abcd", b"ef", b"")
    stream.close()


def test_what_was_said_is_read_though_the_other_end_stays_open() -> None:
    source, stream, write = reading()
    os.write(write, b"abcdef")
    source.enough()
    source.enough()
    assert (stream.read(4), stream.read(4)) == (b"abcd", b"ef")
    stream.close()
    os.close(write)


def test_a_reader_that_waits_is_woken() -> None:
    source, stream, write = reading()
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(stream.read(4)))
    reader.start()
    os.write(write, b"ab")
    source.enough()
    reader.join(10)
    assert found == [b"ab"]
    stream.close()
    os.close(write)
