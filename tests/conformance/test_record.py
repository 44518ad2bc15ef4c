"""What is kept of runs of tempest says what they came to, and the page says what is kept."""

import json

import pytest

from tests.conformance import record, report
from tests.conformance.report import FAILED, PASSED, SKIPPED, Result

OUTPUT = """\
{0} tempest.api.image.test_a.A.test_one [1.5s] ... ok
{1} setUpClass (tempest.api.image.test_b.B) ... SKIPPED: no back end: x
{0} tempest.scenario.test_c.C.test_two[id-1,smoke] [2.0s] ... FAILED

Captured traceback:
~~~~~~~~~~~~~~~~~~~
    Traceback (most recent call last):
      File "a.py", line 1, in f
    tempest.lib.exceptions.NotFound: Object not found
    Details: {'code': 404}


{1} tearDownClass (tempest.scenario.test_c.C) [0.0s] ... FAILED
"""
A, B, B2 = "tempest.api.image.test_a.A.test_one", "tempest.api.image.test_b.B.test_x", "tempest.api.image.test_b.B.test_y"
C, GONE = "tempest.scenario.test_c.C.test_two", "tempest.scenario.test_d.D.test_three"
SUITE = (A, B, B2, C, GONE)


def run(name: str, **facts) -> dict:
    return {
        "name": name, "date": name[:10], "commit": f"at-{name}", "suite": "tempest 47", "hosts": 1, "tests": 5, "minutes": 3,
        "workers": 2, "what": "all",
    } | facts  # fmt: skip


def test_every_test_that_was_asked_for_has_an_outcome():
    results = {result.test: result for result in report.of_tests(report.read(OUTPUT), SUITE)}
    assert {test: results[test].how for test in SUITE} == {A: PASSED, B: SKIPPED, B2: SKIPPED, C: FAILED, GONE: FAILED}
    assert results[B].why == "no back end: x"
    assert results[C].why == "tempest.lib.exceptions.NotFound: Object not found | Details: {'code': 404}"
    assert results[GONE].why == "did not run"
    assert results["tempest.scenario.test_c.C.tearDownClass"].how == FAILED
    assert results[A].seconds == 1.5


def test_an_area_that_ran_whole_is_replaced_and_single_tests_are_added():
    kept = {"runs": {}, "areas": {}}
    record.merge(kept, run("2026-01-01"), report.of_tests(report.read(OUTPUT), SUITE), SUITE)
    assert (kept["areas"]["api.image"]["passed"], list(kept["areas"]["api.image"]["skipped"])) == (1, [B, B2])
    later = [Result(A, FAILED, "broke"), Result(B, PASSED)]  # not all of the area
    record.merge(kept, run("2026-01-02", hosts=2, what="`a|b`"), later, SUITE)
    images = kept["areas"]["api.image"]
    assert (images["run"], images["passed"], images["failed"], list(images["skipped"])) == ("2026-01-01", 1, {A: "broke"}, [B2])
    assert images["again"] == {A: "2026-01-02", B: "2026-01-02"}
    text = record.page(kept, {"failed": {A: {"cause": "A cause.", "takes": "a week."}}, "skipped": {}})
    assert "| api.image | 1 | 1 | 1 | 0 | 50.0 % | 2026-01-01, at-2026-01-01 |" in text
    assert "| 2026-01-02 | at-2026-01-02 | tempest 47 | 2 | 5 | 3 | 2 | `a\\|b` |" in text
    assert "- 2026-01-02, at-2026-01-02, failed: `image.test_a.A.test_one`" in text
    assert f"- `{A}`: broke\n  Cause: A cause. It would take: a week." in text
    record.merge(kept, run("2026-01-03"), [Result(test, PASSED) for test in (A, B, B2)], SUITE)
    assert kept["areas"]["api.image"] == {
        "run": "2026-01-03", "passed": 3, "failed": {}, "skipped": {}, "missing": [], "again": {},
    }  # fmt: skip
    assert set(kept["runs"]) == {"2026-01-01", "2026-01-03"}  # of the first is the scenario; nothing is of the second


def test_what_is_missing_of_an_area_is_said_until_it_ran():
    kept = {"runs": {}, "areas": {}}
    record.merge(kept, run("2026-01-01"), [Result(A, PASSED)], SUITE)
    assert "| api.image | 1 | 0 | 0 | 2 | 100.0 % |" in record.page(kept, {})
    record.merge(kept, run("2026-01-02"), [Result(B, PASSED)], SUITE)
    images = kept["areas"]["api.image"]
    assert (images["passed"], images["missing"], images["again"]) == (2, [B2], {B: "2026-01-02"})
    assert record.outcome(images, B2) == record.NOT_RUN


@pytest.mark.parametrize("passed", [True, False])
def test_a_share_of_all_means_all(passed):
    results = [Result(A, PASSED)] * 9999 + [Result(A, PASSED if passed else FAILED)]
    assert report.share(report.count(results)["api.image"]) == ("100.0 %" if passed else "99.9 %")


def test_the_reference_is_what_the_record_says():
    kept = record.load()
    assert record.PAGE.read_text() == record.page(kept, record.known_causes()), "run: python -m tests.conformance.record"
    assert record.RECORD.read_text() == json.dumps(kept, indent=1, ensure_ascii=False) + "\n"


def test_known_causes_are_of_tests_that_fail():
    failed = {test for area in record.load()["areas"].values() for test in area["failed"]}
    assert set(record.known_causes()["failed"] or {}) <= failed
