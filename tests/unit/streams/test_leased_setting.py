"""SLUICE_LEASED: processors whose jobs are kept by lease in this installation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schemas.errors import StartupError
from schemas.headers import CUSTODY
from schemas.records import ECHO, EMBED, EchoInput
from streams.admin import tail, topics
from streams.admin.group_offsets import worker_groups
from streams.client.submitter import Submitter
from streams.settings import Settings
from streams.sink.topic_table import TopicRole, role_of
from streams.worker.session import check_custody

LEASED = Settings(leased=("echo",), topic_prefix="p.")
READY = {"custody": "offset", "order": "none"}


def test_no_worker_group_reads_the_topics_of_a_processor_that_is_leased_here() -> None:
    assert [group.name for group in worker_groups(LEASED, [ECHO, EMBED])] == ["p.workers.embed"]


def test_the_sink_stores_the_requests_of_a_processor_that_is_leased_here() -> None:
    topics = {"p.requests.echo", "p.requests.embed"}
    assert role_of("p.requests.echo", LEASED, topics) is TopicRole.LEASED_REQUESTS
    assert role_of("p.requests.embed", LEASED, topics) is TopicRole.REQUESTS


def test_a_submitter_writes_the_custody_that_counts_here(tmp_path: Path) -> None:
    name = "memory:leased-setting"
    changes: dict[str, Any] = {"kafka_bootstrap_servers": name, "schema_registry_url": name, "partitions": 1}
    settings = Settings(home=tmp_path, leased=("echo",), **changes)
    topics.apply(settings, [ECHO])
    with Submitter(settings) as submitter:
        submitter.submit("echo", EchoInput("hi"))
    (record,) = tail.last(settings, "requests.echo", 1)
    assert (record.headers[CUSTODY], record.value["header"]["custody"]) == ("lease", "lease")


def test_a_worker_starts_whatever_the_policy_says_but_not_with_an_order() -> None:
    check_custody(LEASED, "echo", READY)
    with pytest.raises(StartupError, match="leases keep no order"):
        check_custody(LEASED, "echo", READY | {"order": "key"})
    with pytest.raises(StartupError, match="its policy says 'lease'"):
        check_custody(LEASED, "echo", READY | {"custody": "lease"})
