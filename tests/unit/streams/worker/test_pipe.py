"""The pipe reader returns everything the child wrote, and stops waiting when it is stopped."""

from __future__ import annotations

import io
import os
import threading

from streams.worker.pipe import PipeReader


def reading() -> tuple[PipeReader, io.BufferedReader, int]:
    read, write = os.pipe()
    reader = PipeReader(read)
    return reader, io.BufferedReader(reader, 1 << 16), write


def test_the_stream_ends_where_the_pipe_does() -> None:
    _, stream, write = reading()
    os.write(write, b"abcdef")
    os.close(write)
    assert (stream.read(4), stream.read(4), stream.read(4)) == (b"abcd", b"ef", b"")
    stream.close()


def test_everything_written_is_read_although_the_other_end_stays_open() -> None:
    reader, stream, write = reading()
    os.write(write, b"abcdef")
    reader.stop()
    reader.stop()
    assert (stream.read(4), stream.read(4)) == (b"abcd", b"ef")
    stream.close()
    os.close(write)


def test_a_reader_that_waits_is_woken() -> None:
    reader, stream, write = reading()
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(stream.read(4)))
    thread.start()
    os.write(write, b"ab")
    reader.stop()
    thread.join(10)
    assert found == [b"ab"]
    stream.close()
    os.close(write)
