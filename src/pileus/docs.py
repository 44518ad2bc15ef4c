"""`python -m pileus.docs DIR`: the generated reference: settings, policy rules, routes.

Made out of the same data that the program runs by, so that it cannot be wrong; a test holds that the files are up to date.
"""

import sys
from dataclasses import MISSING, fields
from pathlib import Path

from pileus.kernel.settings import Settings
from pileus.main import BUNDLES, services


def pages() -> dict[str, str]:
    """Return every page of the reference by its file name."""
    return {"settings.md": settings_page(), "policies.md": policies_page(), "routes.md": routes_page()}


def settings_page() -> str:
    """Return the page of settings."""
    lines = [
        "# Settings",
        "",
        "No setting is required. They are read from `STATE_DIR/pileus.toml`, then from the environment (`PILEUS_` and the",
        "name in capitals), then from the command line.",
        "",
        "| setting | type | default | meaning |",
        "|---|---|---|---|",
    ]
    for field in fields(Settings):
        default = "" if field.default is MISSING else repr(field.default)
        kind = getattr(field.type, "__name__", str(field.type))
        unit = f" ({field.metadata['unit']})" if field.metadata["unit"] else ""
        lines.append(f"| `{field.name}` | {kind} | `{default}` | {field.metadata['help']}{unit} |")
    return "\n".join(lines) + "\n"


def policies_page() -> str:
    """Return the page of policy rules."""
    lines = ["# Policy rules", "", "Overridden by `policy.yaml` in the state directory, in the language of oslo.policy.", ""]
    for bundle in BUNDLES:
        lines += [f"## {bundle.name}", "", "| rule | default | scopes |", "|---|---|---|"]
        for rule in sorted(bundle.rules, key=lambda rule: rule.name):
            check = (rule.check or "(all)").replace("|", "\\|")
            lines.append(f"| `{rule.name}` | `{check}` | {', '.join(scope or 'unscoped' for scope in rule.scopes)} |")
        lines.append("")
    return "\n".join(lines)


def routes_page() -> str:
    """Return the page of API calls."""
    lines = ["# API calls", ""]
    for service in services():
        lines += [f"## /{service.name}: {service.title}", "", "| call | rule | microversions |", "|---|---|---|"]
        for route in sorted(service.routes, key=lambda route: (route.path, route.method, route.since)):
            rule = f"`{route.rule}`" if route.rule else "(public)" if route.public else ""
            span = f"{route.since or ''}-{route.until or ''}".strip("-") if route.since or route.until else ""
            lines.append(f"| `{route.method} {route.path}` | {rule} | {span} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Write every page into the directory that is named (docs/reference)."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/reference")
    target.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (target / name).write_text(text)


if __name__ == "__main__":
    main()
