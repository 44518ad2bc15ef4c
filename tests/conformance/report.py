"""What a run of tempest came to: how each test went, figures by area, the first cause of each failure, what was slow."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

RESULT = re.compile(
    r"^\{\d+\} (?:(?P<part>setUpClass|tearDownClass) \((?P<cls>[^)]*)\)|(?P<id>tempest\.\S+?)(?:\[.*?\])?) "
    r"(?:\[(?P<seconds>[\d.]+)s\] )?\.\.\. (?P<how>ok|FAILED|SKIPPED)(?:: (?P<why>.*))?"
)
HEADING = "{:<26} {:>7} {:>7} {:>8} {:>9}"
PASSED, FAILED, SKIPPED = "ok", "FAILED", "SKIPPED"
SLOWEST = 15


@dataclass(frozen=True)
class Result:
    """How one test went, or one class whose set-up was skipped or failed."""

    test: str
    how: str
    why: str = ""
    seconds: float = 0.0

    @property
    def area(self) -> str:
        """What it is about, such as api.compute or scenario."""
        return area(self.test)


def area(test: str) -> str:
    """Return what a test is about, such as api.compute or scenario."""
    parts = test.split(".")
    return ".".join(parts[1:3]) if parts[1] == "api" else parts[1]


def read(output: str) -> list[Result]:
    """Return every result in what tempest printed; a test that was run again counts as it went last."""
    found: dict[str, Result] = {}
    for line in output.splitlines():
        if match := RESULT.match(line):
            test, how = match["id"] or match["cls"], match["how"]
            if match["part"] == "tearDownClass":
                test += ".tearDownClass"
            why = first_cause(output, match["id"] or match["cls"]) if how == FAILED else (match["why"] or "").strip()
            found[test] = Result(test, how, why, float(match["seconds"] or 0))
    return list(found.values())


def of_tests(results: Iterable[Result], tests: Sequence[str]) -> list[Result]:
    """Return one result for each test that was asked for: a class that was skipped or failed counts for each of its own.

    One of which nothing was said failed; and so did a class whose clean-up failed, besides its tests.
    """
    by_name = {result.test: result for result in results}
    found = []
    for test in tests:
        result = by_name.get(test) or by_name.get(test.rpartition(".")[0])
        found.append(Result(test, result.how, result.why, result.seconds) if result else Result(test, FAILED, "did not run"))
    return found + [result for result in by_name.values() if result.test.endswith(".tearDownClass") and result.how == FAILED]


def first_cause(text: str, test: str) -> str:
    """Return the last line of the traceback that tempest printed below a failure."""
    at = text.find(test)
    found = re.search(r"Captured traceback:\n~+\n(.*?)(?:\nCaptured |\n\n\n|\n\{\d+\} )", text[at:], re.DOTALL)
    if not found:
        return "(no traceback)"
    lines = [line.strip() for line in found[1].splitlines() if line.strip()]
    errors = [
        line for line in lines if re.match(r"[\w.]+(Error|Exception|Timeout|Fault|Failure|Conflict|NotFound|Forbidden)\b", line)
    ]
    return " | ".join((errors or lines)[-1:] + [line for line in lines if line.startswith("Details:")][:1])[:600]


def count(results: Iterable[Result]) -> dict[str, Counter[str]]:
    """Return how many passed, failed and were skipped, by area."""
    areas: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        areas[result.area][result.how] += 1
    return dict(sorted(areas.items()))


def share(counted: Counter[str]) -> str:
    """Return how many of those that ran passed, in per cent; rounded down, so that 100 means all."""
    ran = counted[PASSED] + counted[FAILED]
    return f"{counted[PASSED] * 1000 // ran / 10:.1f} %" if ran else "-"


def show(results: Sequence[Result]) -> None:
    """Print the figures by area, the first cause of each failure, and the slowest tests."""
    print("\n" + HEADING.format("area", "passed", "failed", "skipped", "of run"))
    areas = count(results)
    areas["all"] = sum(areas.values(), Counter())
    for name, counted in areas.items():
        print(HEADING.format(name, counted[PASSED], counted[FAILED], counted[SKIPPED], share(counted)))
    slowest = sorted(results, key=lambda result: -result.seconds)[:SLOWEST]
    print(f"\nThe slowest of {sum(result.seconds for result in results):.0f} s in tests:")
    for result in slowest:
        print(f"{result.seconds:7.1f} s {result.test}")
    for result in results:
        if result.how == FAILED:
            print(f"\nFAILED {result.test}\n    {result.why}")
