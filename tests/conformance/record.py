"""What is kept of runs of tempest, and the page in docs/reference that says it.

`record.json` has for each area of the suite the last run that had all of it: how many passed, which failed and were skipped,
and which went otherwise in a later run of some tests.  An area that never ran whole has what ran, and what is missing.
`known.yaml` has causes that a person found, and what it would take.

    .venv/bin/python -m tests.conformance.record                  write the page anew, such as after a change of known.yaml
    .venv/bin/python -m tests.conformance.record FOLDER-OF-LOGS   merge a run whose logs were kept, then write the page
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.conformance import report
from tests.conformance.report import FAILED, PASSED, SKIPPED, Result

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "reference" / "conformance.md"
RECORD, KNOWN, LISTS = HERE / "record.json", HERE / "known.yaml", HERE / "lists"
SHOWN_LISTS = ("interop-2022.11", "interop-2020.06", "smoke")
NOT_RUN = "not run"
Record = dict[str, Any]


def names(file: Path) -> list[str]:
    """Return the ids of tests in a list, without their attributes."""
    return [line.split("[")[0].strip() for line in file.read_text().splitlines() if line.strip()]


def load(file: Path = RECORD) -> Record:
    """Return what is kept."""
    return json.loads(file.read_text()) if file.exists() else {"runs": {}, "areas": {}}


def merge(record: Record, run: dict[str, Any], results: Iterable[Result], suite: Sequence[str]) -> None:
    """Add a run.

    An area of which every test ran is replaced; of another those tests that went otherwise than before, or do not pass.

    :param run: its facts: commit, date, hosts and so on; `name` tells it from others.
    :param suite: the ids of all tests.
    """
    by_area: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_area[result.area].append(result)
    for area, found in sorted(by_area.items()):
        ran = {result.test for result in found}
        missing = sorted(test for test in suite if report.area(test) == area and test not in ran)
        if area not in record["areas"] or not missing:
            record["areas"][area] = _area(run["name"], found, missing)
        else:
            _again(record["areas"][area], run["name"], found)
    record["runs"][run["name"]] = {key: value for key, value in run.items() if key != "name"}
    used = {run for area in record["areas"].values() for run in (area["run"], *area["again"].values())}
    record["runs"] = {name: facts for name, facts in sorted(record["runs"].items()) if name in used}


def _area(run: str, found: Iterable[Result], missing: list[str]) -> dict[str, Any]:
    area: dict[str, Any] = {"run": run, "passed": 0, "failed": {}, "skipped": {}, "missing": missing, "again": {}}
    for result in found:
        _enter(area, result)
    return area


def _enter(area: dict[str, Any], result: Result) -> None:
    if result.how == PASSED:
        area["passed"] += 1
    else:
        area["failed" if result.how == FAILED else "skipped"][result.test] = _inline(result.why)


def _again(area: dict[str, Any], run: str, found: Iterable[Result]) -> None:
    for result in found:
        before = outcome(area, result.test)
        if before == result.how == PASSED:
            continue
        area["again"][result.test] = run
        if before == NOT_RUN:
            area["missing"].remove(result.test)
        area["failed"].pop(result.test, None)
        area["skipped"].pop(result.test, None)
        if before == PASSED:
            area["passed"] -= 1
        _enter(area, result)


def outcome(area: dict[str, Any] | None, test: str) -> str:
    """Return how a test of an area went."""
    if area is None or test in area["missing"]:
        return NOT_RUN
    return FAILED if test in area["failed"] else SKIPPED if test in area["skipped"] else PASSED


def page(record: Record, known: dict[str, Any]) -> str:
    """Return the page of the reference.

    :param known: by `failed` the cause of a test's failure and what it would take, by `skipped` the same of reasons.
    """
    lines = ["# What OpenStack's own tests say of this cloud", ""]
    lines += ["Written by `make tempest LIST=... ARGS=--write-reference` from runs against fresh clouds with real guests: for"]
    lines += ["each area the last run that had all of it, and what went otherwise in a later run of single tests.", ""]
    lines += _figures(record) + _lists(record) + _runs(record)
    failed = {test: why for area in record["areas"].values() for test, why in area["failed"].items()}
    skipped = {test: why for area in record["areas"].values() for test, why in area["skipped"].items()}
    return "\n".join([*lines, *_failures(failed, known.get("failed") or {}), *_skips(skipped, known.get("skipped") or {}), ""])


def _figures(record: Record) -> list[str]:
    lines = ["| area | passed | failed | skipped | not run | of those that ran | run |", "|---|---|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for name, area in sorted(record["areas"].items()):
        counted = Counter({PASSED: area["passed"], FAILED: len(area["failed"]), SKIPPED: len(area["skipped"])})
        counted[NOT_RUN] = len(area["missing"])
        total += counted
        lines.append(_row(name, counted, _when(record, area["run"])))
    return [*lines, _row("**all**", total, ""), "", "A test whose class is skipped counts as skipped.", ""]


def _row(name: str, counted: Counter[str], run: str) -> str:
    cells = [counted[how] for how in (PASSED, FAILED, SKIPPED, NOT_RUN)]
    return f"| {name} | {' | '.join(map(str, cells))} | {report.share(counted)} | {run} |"


def _when(record: Record, run: str) -> str:
    facts = record["runs"][run]
    return f"{facts['date']}, {facts['commit']}"


def _lists(record: Record) -> list[str]:
    lines = ["| list | tests | passed | failed | skipped | not run |", "|---|---|---|---|---|---|"]
    for name in SHOWN_LISTS:
        tests = names(LISTS / f"{name}.txt")
        counted = Counter(outcome(record["areas"].get(report.area(test)), test) for test in tests)
        cells = (counted[PASSED], counted[FAILED], counted[SKIPPED], counted[NOT_RUN])
        lines.append(f"| {name} | {len(tests)} | " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _runs(record: Record) -> list[str]:
    heads = ("date", "Pileus", "suite", "hosts", "tests", "minutes", "at once", "what")
    lines = ["## Runs", "", "| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for facts in record["runs"].values():
        cells = [facts[key] for key in ("date", "commit", "suite", "hosts", "tests", "minutes", "workers", "what")]
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    again: dict[tuple[str, str], list[str]] = defaultdict(list)
    for area in record["areas"].values():
        for test, run in area["again"].items():
            again[_when(record, run), outcome(area, test)].append(test)
    if again:
        lines += ["", "Run since, on their own, with another outcome than before or not passed:", ""]
    words = {PASSED: "passed", FAILED: "failed", SKIPPED: "skipped"}
    for (when, how), tests in sorted(again.items()):
        lines.append(f"- {when}, {words[how]}: " + ", ".join(f"`{_short(test)}`" for test in sorted(tests)))
    return [*lines, ""]


def _failures(failed: dict[str, str], known: dict[str, dict[str, str]]) -> list[str]:
    lines = ["## Not passed", ""]
    for test, why in sorted(failed.items()):
        lines.append(f"- `{test}`: {why}")
        if said := known.get(test):
            lines.append(f"  Cause: {_inline(said['cause'])} It would take: {_inline(said['takes'])}")
    return lines if failed else [*lines, "None."]


def _skips(skipped: dict[str, str], known: dict[str, dict[str, str]]) -> list[str]:
    lines = ["", "## Skipped, and why", ""]
    reasons: dict[str, list[str]] = defaultdict(list)
    for test, why in skipped.items():
        reasons[next((said for said in known if re.search(said, why)), why)].append(test)
    for why, tests in sorted(reasons.items()):
        said = known.get(why)
        first = _inline(skipped[tests[0]])
        lines.append(f"- {first} ({len(tests)}): {', '.join(f'`{_short(test)}`' for test in sorted(tests))}")
        if said:
            lines.append(f"  Cause: {_inline(said['cause'])} It would take: {_inline(said['takes'])}")
    return lines if skipped else [*lines, "None."]


def _short(test: str) -> str:
    """Return a test's name without what all have in common."""
    return test.removeprefix("tempest.").removeprefix("api.")


def _inline(text: str) -> str:
    """Return text fit for one line of a page: no machine's addresses and ids, which differ from run to run."""
    text = re.sub(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b", "…", text)
    return re.sub(r"\s+", " ", text).replace("|", "/").strip() or "no reason given"


def known_causes() -> dict[str, Any]:
    """Return the causes that a person found."""
    return yaml.safe_load(KNOWN.read_text()) or {}


def write(run: dict[str, Any] | None = None, results: Iterable[Result] = ()) -> None:
    """Merge a run when there is one, and write the page."""
    record = load()
    if run is not None:
        merge(record, run, results, names(LISTS / "all.txt"))
    RECORD.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(record, known_causes()))


def read_run(folder: Path) -> tuple[dict[str, Any], list[Result]]:
    """Return the facts and the results of a run out of its logs."""
    results = report.read((folder / "output.txt").read_text(errors="replace"))
    return json.loads((folder / "run.json").read_text()), report.of_tests(results, names(folder / "full-ids.txt"))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(*read_run(Path(sys.argv[1])))
    else:
        write()
