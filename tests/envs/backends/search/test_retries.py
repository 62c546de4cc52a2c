"""How often a request to a service is tried, and how long is waited in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from axpo_envs import EnvConfigError
from axpo_envs.plumbing.web._retries import Retries, asked_seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (" 12 ", 12.0),
        ("", 0.0),
        ("soon", 0.0),
        ("-1", 0.0),
        ("inf", 0.0),
        ("1 Apr 99999 0:0 -9999999999", 0.0),
    ],
)
def test_retry_after_in_seconds(header: str, seconds: float) -> None:
    assert asked_seconds(header) == seconds


def test_retry_after_as_a_date() -> None:
    now = datetime.now(UTC)
    assert 25 < asked_seconds(format_datetime(now + timedelta(seconds=30), usegmt=True)) <= 30
    assert asked_seconds(format_datetime(now - timedelta(hours=1), usegmt=True)) == 0.0
    assert asked_seconds("Wed, 21 Oct 2015 07:28:00 -0000") == 0.0


def test_waits_have_jitter_and_a_limit() -> None:
    drawn = iter((0.0, 0.5, 0.999, 0.0))
    retries = Retries(first_wait_s=2.0, longest_wait_s=5.0, jitter=lambda: next(drawn))
    assert retries.wait_s(1) == 1.0
    assert retries.wait_s(2) == 3.0
    assert retries.wait_s(10) == pytest.approx(5.0, abs=0.01)
    assert retries.wait_s(1, asked_s=4.0) == 4.0


def test_waits_stay_what_they_are_for_a_service_that_is_away_for_days() -> None:
    assert Retries(longest_wait_s=5.0, jitter=lambda: 1.0).wait_s(100_000) == 5.0


@pytest.mark.parametrize("settings", [{"attempts": 0}, {"first_wait_s": -1.0}, {"longest_wait_s": -1.0}])
def test_impossible_retries_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(EnvConfigError, match="attempts >= 1"):
        Retries(**settings)
