"""Members of a worker group say which worker they are and which versions it serves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.echo import Echo
from schemas.errors import UsageError
from streams.admin.members import versions_served, workers_of
from streams.log import kafka
from streams.log.member_ids import member_id, versions_of, worker_of
from streams.shadow.served import check_served
from streams.testing import Flow


class LaterEcho(Echo):
    version = "2"


VERSIONS = st.lists(st.text("abc019.-/+", min_size=1, max_size=10), max_size=3)


@given(VERSIONS)
def test_a_client_id_has_the_worker_and_its_versions(versions: list[str]) -> None:
    client_id = member_id("host-12-abc", versions)
    assert (worker_of(client_id), versions_of(client_id)) == ("host-12-abc", versions)


def test_a_version_that_a_live_worker_serves_is_found() -> None:
    with Flow(Echo, LaterEcho) as flow:
        admin = kafka.admin(flow.settings)
        assert workers_of(admin, flow.settings, "echo") == {"flow"}
        assert versions_served(admin, flow.settings, "echo") == {"flow": ["1", "2"]}
        check_served(flow.settings, "echo", "2")
        with pytest.raises(UsageError, match="No worker of 'echo' serves version '3'; served: 1, 2"):
            check_served(flow.settings, "echo", "3")
