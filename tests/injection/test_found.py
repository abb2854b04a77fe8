"""Single faults that have lost, doubled or hidden something before."""

from __future__ import annotations

import pytest

from tests.injection.cases import run_case
from tests.injection.injector import CallSite, Fault, Kind

pytestmark = pytest.mark.usefixtures("simulation")

FOUND = [
    # The timekeeper postponed a due run for a minute and did not say why.
    Fault(
        CallSite("timekeeper", "producer", "delivery_report", "timekeeper.publisher:RecordPublisher._send"),
        1,
        True,
        Kind.FAILED,
    ),
    # A progress record that Kafka refused was dropped unseen.
    Fault(
        CallSite("lease worker", "producer", "produce", "worker.publisher:Publisher._produce"), 2, False, Kind.FAILED
    ),
    # The notifier left the error of closing its store in a future that nothing looks at.
    Fault(CallSite("notify", "delivery_store", "close", "a thread of its own"), 1, False, Kind.BUG),
]


@pytest.mark.parametrize("fault", FOUND, ids=str)
def test_it_is_found_no_more(fault: Fault) -> None:
    result = run_case(fault)
    assert len(result.struck) == 1, "the call is made elsewhere now"
    assert result.findings == []
