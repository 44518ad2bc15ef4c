"""Every route as every persona: who may not does not, who may does, and nobody without a role does anything.

    nobody     has a token and no role in the project that everything belongs to
    other      a member of another project
    reader, demo (a member), manager, admin, service (with the role of services), system (an admin of the system)

Requests name what there is, with the smallest body of each route's schema.  What a persona may is told by the policy table,
where the route names its rule, and by what roles are for, where it does not.
"""

import re
import shutil

import pytest

from pileus.main import services
from tests import engines
from tests.conftest import BLUE, PERSONAS, make_lab
from tests.generated.scene import OCTETS, PATCH, USER, body_of, build, path_of

SERVICES = {service.name: service for service in services()}
JUDGED = ("identity", "image", "network", "volume", "compute", "placement")
READS = ("GET", "HEAD")
REFUSED = (401, 403, 404)
UNJUDGED = (400, 405, 406, 409, 410, 411, 412, 413, 415, 422, 501)
"""The request was not as it must be, or the thing not in the state, before anyone asked for rights."""

BY_POLICY = re.compile("Policy doesn't allow|not authorized to perform|disallowed by policy")
"""How a refusal by a rule is worded; other 403s say what is not done to anyone."""

TARGET = {
    "member_id": None, "visibility": "shared", "domain_id": "default", "target.user.domain_id": "default",
    "target.project.domain_id": "default", "target.domain.id": "default", "target.domain_id": "default",
    "target.group.domain_id": "default", "target.role.domain_id": None, "target.role.name": "r",
}  # fmt: skip
OF_PROJECTS = ("project_id", "tenant_id", "owner", "target.project.id", "target.limit.project_id")
OF_USERS = (
    "user_id", "target.user.id", "target.credential.user_id", "target.trust.trustor_user_id", "target.trust.trustee_user_id",
    "target.token.user_id",
)  # fmt: skip
QUOTA = "/v2.0/quotas/{project_id}"
OWN = {  # what a user may do with what is theirs alone, whatever their roles
    "/v3/credentials", "/v2.1/os-keypairs", "/v2.1/os-keypairs/{name}", QUOTA, f"{QUOTA}/details", f"{QUOTA}/details.json",
    f"{QUOTA}/default", f"{QUOTA}/default.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def scene(template_state, tmp_path_factory):
    """A cloud with one of everything."""
    state_dir = tmp_path_factory.mktemp("rights") / "state"
    shutil.copytree(template_state, state_dir)
    lab = make_lab(state_dir)
    yield build(lab)
    lab.app.close()
    lab.cloud.db.dispose()
    engines.drop(state_dir)


def ask(scene, service, route, persona):
    """Return the answer to a request of a route by a persona."""
    headers = {}
    if service.microversions:
        version = service.microversions.highest
        if route.until:
            version = min(version, tuple(int(part) for part in route.until.split(".")))
        headers = service.microversions.headers(version)
    path = f"/{service.name}{path_of(scene, service, route)}"
    more = {"json": body} if (body := body_of(scene, service, route)) is not None else {}
    if route.stream:
        headers, more = {**headers, "Content-Type": OCTETS}, {"content": b"x"}
    elif service.name == "image" and route.method == "PATCH":
        headers, more = {**headers, "Content-Type": PATCH}, {"json": [{"op": "add", "path": "/x", "value": "y"}]}
    return scene.lab.client(persona, headers=headers).request(route.method, path, **more)


def routes_of(service):
    """The routes that ask for a token, those that change most last."""
    order = {"GET": 0, "POST": 1, "PUT": 2, "PATCH": 2, "DELETE": 3}
    return sorted((route for route in service.routes if not route.public), key=lambda route: order[route.method])


def allows(scene, route, persona):
    """Tell whether a route's rule holds for a persona: on what is in the path, which is demo's, or else on what is their own."""
    ctx = scene.lab.ctx(persona)
    theirs = "{" not in route.path
    target = TARGET | dict.fromkeys(OF_PROJECTS, ctx.project_id if theirs else BLUE)
    target |= dict.fromkeys(OF_USERS, ctx.user_id if theirs and route.method in READS else USER)
    return scene.lab.cloud.policy.allows(route.rule, ctx.credentials, ctx.scope, target)


def was_let_in(answer, route):
    """Tell whether an answer shows or did something; a list without anything in it does not."""
    if answer.status_code in (*REFUSED, *UNJUDGED):
        return False
    if route.method in READS and answer.status_code == 200:
        return any(found for name, found in answer.json().items() if name != "links" and isinstance(found, list | dict))
    return True


def told(answer, service, route, persona):
    return f"{persona}: {route.method} /{service.name}{route.path} ({route.rule}) {answer.status_code} {answer.text[:90]}"


@pytest.mark.parametrize("persona", ["nobody", "reader", "other"])
@pytest.mark.parametrize("name", JUDGED)
def test_who_has_no_part_in_it_changes_nothing(scene, name, persona):
    """Whether or not a route names its rule: no role, a reader's role, or a role elsewhere lets nobody change what is demo's."""
    service, wrong = SERVICES[name], []
    for route in routes_of(service):
        if route.method in READS or route.path in OWN or (persona == "other" and "{" not in route.path):
            continue
        answer = ask(scene, service, route, persona)
        if was_let_in(answer, route):
            wrong.append(told(answer, service, route, persona))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("persona", [name for name in PERSONAS if name not in ("admin", "system")])
@pytest.mark.parametrize("name", JUDGED)
def test_whom_the_rule_refuses(scene, name, persona):
    service, wrong = SERVICES[name], []
    for route in routes_of(service):
        if route.rule and route.path not in OWN and not allows(scene, route, persona):
            answer = ask(scene, service, route, persona)
            if was_let_in(answer, route):
                wrong.append(told(answer, service, route, persona))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("persona", ["reader", "demo", "manager", "service", "system", "admin"])
@pytest.mark.parametrize("name", JUDGED)
def test_whom_the_rule_admits(scene, name, persona):
    """Runs last, since what is admitted changes things."""
    service, wrong = SERVICES[name], []
    for route in routes_of(service):
        if route.rule and allows(scene, route, persona):
            answer = ask(scene, service, route, persona)
            if answer.status_code == 401 or (answer.status_code == 403 and BY_POLICY.search(answer.text)):
                wrong.append(told(answer, service, route, persona))
    assert not wrong, "\n".join(wrong)
