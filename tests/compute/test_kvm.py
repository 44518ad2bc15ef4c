"""The probe answers in time, with a reason."""

import time

import pytest

from pileus.compute import kvm


@pytest.mark.host
def test_the_probe_decides_and_says_why() -> None:
    kvm.usable.cache_clear()
    start = time.monotonic()
    verdict = kvm.usable()
    assert time.monotonic() - start < kvm.DEADLINE_SECONDS + 1
    assert verdict.reason
    assert kvm.usable() is verdict
