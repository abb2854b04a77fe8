"""Parts of a callback without I/O: results by status, signatures and the schedule."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from connectors.callbacks.delivery_try import TryResult, result_of, retry_after_s
from connectors.callbacks.schedule import DELAYS_S, JITTER, MAX_RETRY_AFTER_S, next_try
from connectors.callbacks.sign import Signer
from schemas.errors import UsageError

NOW = datetime(2026, 1, 1, tzinfo=UTC)


OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


NEW = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@given(st.integers(100, 599))
def test_every_status_has_a_result_and_only_2xx_counts_as_delivered(status: int) -> None:
    result = result_of(status)
    assert (result is TryResult.DELIVERED) == (200 <= status < 300)
    assert (result is TryResult.GONE) == (status == 410)
    assert result is not TryResult.REFUSED


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 3 ", 3.0),
        ("-5", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
        ("٣", None),
        ("9" * 5000, 999999999.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("Wed, 31 Dec 2025 00:00:00 GMT", 0.0),
        ("Thu, 01 Jan 2026 00:01:00 -0000", 60.0),
        ("Mon, 01 Jan 99999999999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:01:00 +99999999999999", None),
    ],
)
def test_retry_after_is_read_in_both_forms_and_nonsense_is_none(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


@given(st.text(max_size=60))
def test_no_retry_after_header_breaks_the_try(value: str) -> None:
    seconds = retry_after_s(value, NOW)
    assert seconds is None or seconds >= 0


@given(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=40), st.text(max_size=500))
def test_a_signature_equals_the_one_of_the_library(message_id: str, body: str) -> None:
    headers = Signer([OLD]).headers(message_id, 1_700_000_000, body.encode())
    expected = Webhook(OLD).sign(message_id, datetime.fromtimestamp(1_700_000_000, UTC), body)
    assert headers == {
        "webhook-id": message_id,
        "webhook-timestamp": "1700000000",
        "webhook-signature": expected,
    }


def test_during_key_rotation_receivers_with_the_old_and_the_new_key_both_accept() -> None:
    body = b'{"a":1}'
    headers = Signer([NEW, OLD]).headers("dlv_1", int(datetime.now(UTC).timestamp()), body)
    assert len(headers["webhook-signature"].split(" ")) == 2
    assert Webhook(NEW).verify(body, headers) == Webhook(OLD).verify(body, headers) == {"a": 1}
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 32).verify(body, headers)


def test_a_changed_body_is_not_accepted() -> None:
    headers = Signer([OLD]).headers("dlv_1", int(datetime.now(UTC).timestamp()), b'{"a":1}')
    with pytest.raises(WebhookVerificationError):
        Webhook(OLD).verify(b'{"a":2}', headers)


def test_without_secrets_a_callback_goes_unsigned_but_keeps_its_id() -> None:
    assert Signer([]).headers("dlv_1", 1, b"") == {"webhook-id": "dlv_1", "webhook-timestamp": "1"}


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_=", "whsec_A"])
def test_an_unusable_secret_is_refused_without_being_repeated(secret: str) -> None:
    with pytest.raises(UsageError) as caught:
        Signer([secret])
    assert secret == "" or secret not in caught.value.message


@given(st.integers(1, len(DELAYS_S)), st.integers())
def test_each_wait_is_its_delay_varied_by_the_jitter(tries: int, seed: int) -> None:
    wait = next_try(tries, random.Random(seed))
    assert wait is not None
    assert abs(wait / DELAYS_S[tries - 1] - 1) <= JITTER


def test_waits_differ_between_deliveries_that_failed_together() -> None:
    rng = random.Random(1)
    assert len({next_try(3, rng) for _ in range(100)}) == 100


def test_after_the_last_delay_a_delivery_is_parked_whatever_the_backend_asks() -> None:
    assert next_try(len(DELAYS_S) + 1, random.Random(0)) is None
    assert next_try(len(DELAYS_S) + 1, random.Random(0), 5.0) is None


@given(st.integers(1, len(DELAYS_S)), st.floats(allow_nan=False), st.integers())
def test_a_requested_wait_is_respected_up_to_a_limit(tries: int, asked: float, seed: int) -> None:
    wait = next_try(tries, random.Random(seed), asked)
    assert wait is not None
    assert wait >= min(asked, MAX_RETRY_AFTER_S)
    assert wait <= MAX_RETRY_AFTER_S * (1 + JITTER)


def test_tries_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="begins at 1"):
        next_try(0, random.Random(0))
