"""Rules of the code itself.  Each failure says the file, the line and the rule."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pileus"
MODULES = sorted(SOURCE.rglob("*.py"))
LINES_MAX, FUNCTION_LINES_MAX, ARGUMENTS_MAX, BASES_MAX, PROTOCOL_METHODS_MAX = 400, 50, 8, 1, 12
UNITLESS = {"size", "memory", "ram", "disk", "timeout", "interval", "delay", "bandwidth", "age", "duration"}
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
CLOCKS = ("time.time(", "datetime.now(", "datetime.utcnow(")
MAKERS_OF_IDS = ("uuid.uuid4(", "uuid4()", "secrets.token")
MIGRATIONS = SOURCE / "migrations" / "versions"


def label(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def functions(tree):
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def is_protocol(node: ast.ClassDef) -> bool:
    return any("Protocol" in ast.unparse(base) for base in node.bases)


def class_faults(tree):
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        if len(node.bases) > BASES_MAX:
            yield node.lineno, f"{node.name} has more than {BASES_MAX} base"
        methods = [part for part in node.body if isinstance(part, ast.FunctionDef)]
        if is_protocol(node) and len(methods) > PROTOCOL_METHODS_MAX:
            yield node.lineno, f"{node.name} has more than {PROTOCOL_METHODS_MAX} methods"


def function_faults(tree):
    for function in functions(tree):
        arguments = function.args.posonlyargs + function.args.args + function.args.kwonlyargs
        arguments = [a for a in arguments if a.arg not in ("self", "cls")]
        if function.end_lineno - function.lineno >= FUNCTION_LINES_MAX:
            yield function.lineno, f"{function.name} is longer than {FUNCTION_LINES_MAX} lines"
        if len(arguments) > ARGUMENTS_MAX:
            yield function.lineno, f"{function.name} takes more than {ARGUMENTS_MAX} arguments"
        for argument in arguments:
            if argument.arg in UNITLESS and ast.unparse(argument.annotation or ast.Name("int")) in ("int", "float"):
                yield argument.lineno, f"{argument.arg} has no unit"


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != MIGRATIONS], ids=label)
def test_tidy(path):
    text = path.read_text()
    tree = ast.parse(text)
    wrong = [*class_faults(tree), *function_faults(tree)]
    if not ast.get_docstring(tree):
        wrong.append((1, "no module docstring"))
    if text.count("\n") > LINES_MAX:
        wrong.append((1, f"more than {LINES_MAX} lines"))
    if EMPTY_NAMES & {path.stem, path.parent.name}:
        wrong.append((1, "a name that says nothing"))
    wrong += [(n.lineno, "bare except") for n in ast.walk(tree) if isinstance(n, ast.ExceptHandler) and n.type is None]
    wrong += [(n.lineno, "shell=True") for n in ast.walk(tree) if isinstance(n, ast.keyword) and n.arg == "shell"]
    assert not wrong, "\n".join(f"{path}:{line}: {rule}" for line, rule in wrong)


def below_services(path: Path) -> bool:
    """Whether a module must take the time and ids from the kernel: all but the kernel, drivers, guest builder and commands."""
    return path.relative_to(SOURCE).parts[0] in ("identity", "image", "network", "compute") and "drivers" not in path.parts


@pytest.mark.parametrize("path", [p for p in MODULES if below_services(p)], ids=label)
def test_time_and_ids_come_from_the_kernel(path):
    text = path.read_text()
    found = [call for call in (*CLOCKS, *MAKERS_OF_IDS) if call in text]
    assert not found, f"{path} calls {', '.join(found)}"


def inside(path: Path, *layers: str) -> bool:
    return bool(set(layers) & {path.stem, *(part.name for part in path.parents)})


@pytest.mark.parametrize("path", [p for p in MODULES if below_services(p)], ids=label)
def test_sql_stays_in_store_and_tables(path):
    if inside(path, "store", "tables"):
        return
    imported = {
        name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "sqlalchemy"
        for name in (alias.name for alias in node.names)
    }
    allowed = {"Connection", "Row", "RowMapping", "Table", "IntegrityError", "OperationalError"}
    assert imported <= allowed, f"{path} builds SQL with {', '.join(sorted(imported - allowed))}"


@pytest.mark.parametrize("path", [p for p in MODULES if below_services(p) and inside(p, "service", "store", "tasks")], ids=label)
def test_no_http_below_api(path):
    text = path.read_text()
    assert "pileus.kernel.http" not in text or "import Call" in text, path
    assert "starlette" not in text, path


SERVICES = [p for p in MODULES if below_services(p) and inside(p, "service")]


@pytest.mark.parametrize("path", SERVICES, ids=label)
def test_a_use_case_documents_itself_and_checks_the_policy(path):
    """A public function of a Context checks a rule, or calls one of its module or its package that does."""
    wrong = []
    for function in ast.parse(path.read_text()).body:
        if not isinstance(function, ast.FunctionDef) or function.name.startswith("_"):
            continue
        if not ast.get_docstring(function):
            wrong.append(f"{function.name}: no docstring")
    assert not wrong, "\n".join(f"{path}: {line}" for line in wrong)
