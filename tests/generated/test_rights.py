"""Every call as every persona: who may not does not, who may does, and nobody without a role does anything.

    nobody     has a token and no role in the project that everything belongs to
    other      a member of another project
    reader, demo (a member), manager, admin, service (with the role of services), system and system-reader (of the system
    as a whole), domain (an admin of the domain)

A call is a route, and of a route that takes actions each action.  What a persona may is told by the policy table; requests
name what there is, with bodies that have something in them.
"""

import re
import shutil
from dataclasses import dataclass
from typing import Any

import pytest

from pileus.compute.api import server_actions
from pileus.main import BUNDLES, services
from pileus.volume.api import backups, groups, snapshots, volume_actions
from tests import engines
from tests.conftest import BLUE, PERSONAS, make_lab
from tests.generated.examples import ACTIONS, filled
from tests.generated.scene import OCTETS, PATCH, USER, body_of, build, call_of, path_of, query_of

SERVICES = {service.name: service for service in services()}
JUDGED = ("identity", "image", "network", "volume", "compute", "placement")
READS = ("GET", "HEAD")
REFUSED = (401, 403, 404)
UNJUDGED = (400, 405, 406, 409, 410, 411, 412, 413, 415, 422, 501)
"""The request was not as it must be, or the thing not in the state, before anyone asked for rights."""

BY_POLICY = re.compile("Policy doesn't allow|not authorized to perform|disallowed by policy")
"""How a refusal by a rule is worded; other 403s say what is not done to anyone."""

WORDS = {
    "/v2.1/servers/{server_id}/action": server_actions.ACTIONS,
    "/v2.1/flavors/{flavor_id}/action": ("addTenantAccess", "removeTenantAccess"),
    "/v2.1/os-aggregates/{aggregate_id}/action": ("add_host", "remove_host", "set_metadata"),
    "/volumes/{volume_id}/action": volume_actions.ACTIONS,
    "/snapshots/{snapshot_id}/action": snapshots.ACTIONS,
    "/backups/{backup_id}/action": backups.ACTIONS,
    "/types/{type_id}/action": ("addProjectAccess", "removeProjectAccess"),
    "/groups/action": ("create-from-src",),
    "/groups/{group_id}/action": groups.ACTIONS,
    "/group_snapshots/{group_snapshot_id}/action": groups.SNAPSHOT_ACTIONS,
}
"""The actions that routes take, by their path (of block storage: by what follows the version)."""

OPEN = {
    "GET /schemas/{name}", "GET /schemas/metadefs/{name}", "GET /info/import", "GET /info/stores", "GET /extensions",
    "GET /extensions/{alias}", "GET /quotas/tenant", "GET /quotas/project", "GET /os-availability-zone",
    "GET /resource_filters", "GET /group_types", "GET /group_types/default", "GET /group_types/{group_type_id}",
    "GET /flavors", "GET /flavors/detail", "GET /flavors/{flavor_id}", "GET /limits",
}  # fmt: skip
"""What everyone with a token may read, as no rule of OpenStack guards it."""

FIRST = {"POST /ec2tokens", "POST /s3tokens", "DELETE /stores/{store_id}/{image_id}"}
"""Where what is asked is looked at before rights are: signatures, which are rights; and whether there is such a store."""

NOBODYS = re.compile(r"/types/|/group_types/|/flavors/|/os-aggregates/")
"""Paths of what belongs to no project: rules look at the caller's own."""

TARGET = {
    "member_id": None, "visibility": "shared", "domain_id": "default", "target.user.domain_id": "default",
    "target.project.domain_id": "default", "target.domain.id": "default", "target.domain_id": "default",
    "target.group.domain_id": "default", "target.role.domain_id": None, "target.role.name": "r",
    "network:project_id": BLUE, "security_group:project_id": BLUE,
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


@dataclass(frozen=True)
class Asked:
    """One call: a route, the action of it ("": it takes none), and the rule that guards it."""

    service: Any
    route: Any
    word: str
    rule: str

    @property
    def reads(self) -> bool:
        return self.route.method in READS or self.word == "os-show_image_metadata"

    def __str__(self) -> str:
        return f"{self.route.method} /{self.service.name}{self.route.path} {self.word}".rstrip()


def rule_of_action(service, route, word):
    """Return the first rule of the table for an action."""
    wanted = f"{re.sub('{[^}]*}', '{}', call_of(route))} ({word})"
    for bundle in BUNDLES:
        if any(each.name == service.name for each in bundle.services):
            for rule in bundle.rules:
                if wanted in (re.sub("{[^}]*}", "{}", path) for path in rule.paths):
                    return rule.name
    return ""


def calls_of(service):
    """The calls that ask for a token, those that change most last."""
    order = {"GET": 0, "POST": 1, "PUT": 2, "PATCH": 2, "DELETE": 3}
    found = []
    for route in sorted((route for route in service.routes if not route.public), key=lambda route: order[route.method]):
        words = WORDS.get(route.path, WORDS.get(re.sub("^/v[123](?=/)", "", route.path)) if service.name == "volume" else None)
        if words and "/v3/" not in route.path and service.name == "volume":
            words = [word for word in words if not isinstance(words, dict) or not words[word].since]
        if words:
            found += [Asked(service, route, word, rule_of_action(service, route, word)) for word in words]
        else:
            found.append(Asked(service, route, "", rule_of_tags(route) if "{plural}" in route.path else route.rule))
    return found


def rule_of_tags(route):
    noun = "policy" if "/qos/" in route.path else "network"
    return f"get_{noun}" if route.method in READS else f"update_{noun}"


CALLS = {name: calls_of(SERVICES[name]) for name in JUDGED}


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


def version_for(service, route, word):
    """Return the microversion to ask in: the newest that has the route and the action."""
    version = service.microversions.highest
    found = WORDS.get(route.path)
    until = route.until or (found[word].until if word and isinstance(found, dict) else "")
    return min(version, tuple(int(part) for part in until.split("."))) if until else version


def ask(scene, asked, persona):
    """Return the answer to a call by a persona."""
    service, route = asked.service, asked.route
    headers = service.microversions.headers(version_for(service, route, asked.word)) if service.microversions else {}
    path = f"/{service.name}{path_of(scene, service, route)}"
    body = {asked.word: filled(ACTIONS.get(asked.word), scene.ids)} if asked.word else body_of(scene, service, route)
    more = {"json": body} if body is not None else {}
    if route.stream and service.name == "image":
        headers, more = {**headers, "Content-Type": OCTETS}, {"content": b"x"}
    elif service.name == "image" and route.method == "PATCH":
        headers, more = {**headers, "Content-Type": PATCH}, {"json": [{"op": "add", "path": "/x", "value": "y"}]}
    params = query_of(scene, route)
    return scene.lab.client(persona, headers=headers).request(route.method, path, params=params, **more)


def allows(scene, asked, persona):
    """Tell whether a call's rule holds for a persona: on what is in the path, which is demo's, or else on what is their own."""
    ctx = scene.lab.ctx(persona)
    path = asked.route.path
    theirs = NOBODYS.search(path) or ("{" not in path and "project_id" not in query_of(scene, asked.route))
    target = TARGET | dict.fromkeys(OF_PROJECTS, ctx.project_id if theirs else BLUE)
    target |= dict.fromkeys(OF_USERS, ctx.user_id if theirs and asked.reads else USER)
    return scene.lab.cloud.policy.allows(asked.rule, ctx.credentials, ctx.scope, target)


def was_let_in(answer, asked):
    """Tell whether an answer shows or did something; a list without anything in it does not."""
    if answer.status_code in (*REFUSED, *UNJUDGED):
        return False
    if asked.reads and answer.status_code == 200:
        return any(found for name, found in answer.json().items() if name != "links" and isinstance(found, list | dict))
    return True


def told(answer, asked, persona):
    return f"{persona}: {asked} ({asked.rule}) {answer.status_code} {answer.text[:90]}"


@pytest.mark.parametrize("name", JUDGED)
def test_every_call_has_its_rule(name):
    open_to_all = [str(asked) for asked in CALLS[name] if not asked.rule and call_of(asked.route) not in OPEN]
    gone = [str(asked) for asked in CALLS[name] if asked.route.status == 410]
    assert sorted(set(open_to_all) - set(gone)) == []


@pytest.mark.parametrize("persona", ["nobody", "reader", "other", "system-reader"])
@pytest.mark.parametrize("name", JUDGED)
def test_who_has_no_part_in_it_changes_nothing(scene, name, persona):
    """Whatever the table says: no role, a reader's role, or a role elsewhere lets nobody change what is demo's."""
    wrong = []
    for asked in CALLS[name]:
        if asked.reads or asked.route.path in OWN or (persona == "other" and "{" not in asked.route.path):
            continue
        answer = ask(scene, asked, persona)
        if was_let_in(answer, asked):
            wrong.append(told(answer, asked, persona))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", JUDGED)
def test_rights_are_asked_before_anything_else_can_be_wrong(scene, name):
    """So that the other tests judge something: who has no role is not told that a body is wrong or a thing in another state."""
    wrong = []
    for asked in CALLS[name]:
        if (
            asked.rule
            and call_of(asked.route) not in FIRST
            and asked.route.path not in OWN
            and not allows(scene, asked, "nobody")
        ):
            answer = ask(scene, asked, "nobody")
            if answer.status_code in UNJUDGED and answer.status_code != 501:
                wrong.append(told(answer, asked, "nobody"))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("name", JUDGED)
def test_whom_the_rule_refuses(scene, name, persona):
    wrong = []
    for asked in CALLS[name]:
        if asked.rule and asked.route.path not in OWN and not allows(scene, asked, persona):
            answer = ask(scene, asked, persona)
            if was_let_in(answer, asked):
                wrong.append(told(answer, asked, persona))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("persona", sorted(PERSONAS, key=lambda name: "admin" in PERSONAS[name]["roles"]))
@pytest.mark.parametrize("name", JUDGED)
def test_whom_the_rule_admits(scene, name, persona):
    """Runs last, since what is admitted changes things."""
    wrong = []
    for asked in CALLS[name]:
        if asked.rule and allows(scene, asked, persona):
            answer = ask(scene, asked, persona)
            if answer.status_code == 401 or (answer.status_code == 403 and BY_POLICY.search(answer.text)):
                wrong.append(told(answer, asked, persona))
    assert not wrong, "\n".join(wrong)
