"""What a run of tempest came to: figures by area, the first cause of each failure, and the page in docs/reference."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULT = re.compile(
    r"^\{\d+\} (setUpClass \((?P<cls>[^)]*)\)|(?P<id>tempest\.\S+?)(\[.*?\])?) (\[[\d.]+s\] )?\.\.\. "
    r"(?P<how>ok|FAILED|SKIPPED)(: (?P<why>.*))?"
)
HEADING = "{:<26} {:>7} {:>7} {:>8}"


@dataclass(frozen=True)
class Result:
    """How one test went, or one class whose set-up was skipped or failed."""

    test: str
    how: str
    why: str = ""

    @property
    def area(self) -> str:
        """What it is about, such as api.compute or scenario."""
        parts = self.test.split(".")
        return ".".join(parts[1:3]) if parts[1] == "api" else parts[1]


def read(output: str) -> list[Result]:
    """Return every result in what tempest printed; a test that was run again counts as it went last."""
    found: dict[str, Result] = {}
    for line in output.splitlines():
        if match := RESULT.match(line):
            test, how = match["id"] or match["cls"], match["how"]
            why = first_cause(output, test) if how == "FAILED" else (match["why"] or "").strip()
            found[test] = Result(test, how, why)
    return list(found.values())


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


def show(results: Sequence[Result]) -> None:
    """Print the figures by area and the first cause of each failure."""
    print("\n" + HEADING.format("area", "passed", "failed", "skipped"))
    areas = count(results)
    areas["all"] = sum(areas.values(), Counter())
    for area, counted in areas.items():
        print(HEADING.format(area, counted["ok"], counted["FAILED"], counted["SKIPPED"]))
    for result in results:
        if result.how == "FAILED":
            print(f"\nFAILED {result.test}\n    {result.why}")


def write(results: Sequence[Result], page: Path, facts: Sequence[tuple[str, str]]) -> None:
    """Write the page of the reference.

    :param facts: of the run: the suite, the date, how long it took.
    """
    lines = ["# What OpenStack's own tests say of this cloud", ""]
    lines += ["Written by `make tempest ARGS=--write-reference` from a run against a fresh cloud with real guests.", ""]
    lines += [f"- {name}: {value}" for name, value in facts]
    lines += ["", "| area | passed | failed | skipped |", "|---|---|---|---|"]
    areas = count(results)
    for area, counted in (areas | {"**all**": sum(areas.values(), Counter())}).items():
        lines.append(f"| {area} | {counted['ok']} | {counted['FAILED']} | {counted['SKIPPED']} |")
    lines += ["", "A class whose set-up is skipped or fails counts once.", "", "## Not passed", ""]
    lines += [f"- `{result.test}`: {_inline(result.why)}" for result in sorted(results, key=lambda result: result.test)
              if result.how == "FAILED"] or ["None."]  # fmt: skip
    lines += ["", "## Skipped, and why", ""]
    reasons: dict[str, list[str]] = defaultdict(list)
    for result in results:
        if result.how == "SKIPPED":
            reasons[result.why or "no reason given"].append(result.test)
    for why, tests in sorted(reasons.items()):
        lines.append(f"- {_inline(why)} ({len(tests)}): " + ", ".join(f"`{short(test)}`" for test in sorted(tests)))
    page.write_text("\n".join([*lines, ""]))


def short(test: str) -> str:
    """Return a test's name without what all have in common."""
    return test.removeprefix("tempest.").removeprefix("api.")


def _inline(text: str) -> str:
    """Return text fit for one line of a page: no machine's addresses and ids, which differ from run to run."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b", "…", text)
    return re.sub(r"\s+", " ", text).replace("|", "/").strip() or "no reason given"
