"""Use cases of quality of service: policies, their rules, and who may use them."""

from typing import Any

from sqlalchemy import Connection

from pileus.kernel import ids
from pileus.kernel.context import Cloud, Context
from pileus.kernel.errors import NotFound
from pileus.network.errors import conflict, invalid, missing
from pileus.network.service import access, plain
from pileus.network.service.access import Attributes
from pileus.network.service.plain import Plain
from pileus.network.store import qos as store
from pileus.network.store import rows
from pileus.network.store.qos import QosPolicy, QosRule
from pileus.network.store.rows import Wanted
from pileus.network.tables.qos import qos_policies, qos_rules
from pileus.network.tasks import sync

POLICY = Plain(store.POLICY, store.assemble, store.visible, "qos_policy")

LIMIT, MARK, MINIMUM = "bandwidth_limit", "dscp_marking", "minimum_bandwidth"
FIGURES = {
    LIMIT: ("max_kbps", "max_burst_kbps", "direction"), MARK: ("dscp_mark",), MINIMUM: ("min_kbps", "direction"),
}  # fmt: skip
APPLIED = (LIMIT, MARK)
"""The kinds of rules that hosts enforce; a policy with others can be kept, but not used by ports."""

DSCP_MARKS = (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 46, 48, 56)


def create(ctx: Context, many: list[tuple[Attributes, frozenset[str]]]) -> list[QosPolicy]:
    """Make policies; one of a project may be its default one."""

    def prepare(tx: Connection, ctx: Context, project_id: str, attributes: Attributes) -> dict[str, Any]:
        return {name: attributes[name] for name in ("name", "description", "shared")}

    wanted = [attributes["is_default"] for attributes, _ in many]
    made: list[QosPolicy] = []

    def work(tx: Connection) -> list[QosPolicy]:
        made.clear()
        for (attributes, given), default in zip(many, wanted, strict=True):
            facts = dict(attributes)
            project_id = access.project_for(ctx, facts)
            ctx.require("create_policy", access.target_of(project_id))
            access.guard(ctx, "create_policy", given, access.target_of(project_id))
            policy = plain.write(POLICY, prepare, tx, ctx, project_id, facts)
            if default:
                _make_default(tx, policy)
            found: QosPolicy | None = plain.read(POLICY, tx, policy.id)
            assert found is not None
            made.append(found)
        return list(made)

    return access.transact(ctx.cloud, work)


def _make_default(tx: Connection, policy: QosPolicy) -> None:
    before = store.default_of(tx, policy.project_id)
    if before == policy.id:
        return
    if before is not None:
        text = (
            f"A default QoS policy exists for project {policy.project_id}: {before}. Only one default may exist for each project."
        )
        raise conflict("QoSPolicyDefaultAlreadyExists", text)
    store.set_default(tx, policy.project_id, policy.id)


def change(ctx: Context, id: str, attributes: Attributes, revision: int | None = None) -> QosPolicy:
    """Change a policy's name, description, sharing, or whether it is its project's default one."""

    def check(tx: Connection, ctx: Context, policy: QosPolicy, values: Attributes) -> None:
        default = values.pop("is_default", None)
        if default:
            _make_default(tx, policy)
        elif default is False:
            store.clear_default(tx, id)

    found: QosPolicy = plain.change(POLICY, check, ctx, id, attributes, revision)
    return found


def remove(ctx: Context, id: str, revision: int | None = None) -> None:
    """Remove a policy with its rules.  :raises Conflict: when something uses it."""

    def release(tx: Connection, ctx: Context, policy: QosPolicy) -> None:
        if using := store.users(tx, id):
            kind, other, _ = using[0]
            raise conflict("QosPolicyInUse", f"QoS Policy {id} is used by {kind} {other}.")
        store.clear_default(tx, id)
        store.delete_rules(tx, id)

    plain.remove(POLICY, release, ctx, id, revision)


def _policy(ctx: Context, tx: Connection, policy_id: str, kind: str, action: str) -> QosPolicy:
    """Return a policy whose rules of a kind the caller may see or change."""
    if action == "create":
        ctx.require(f"{action}_policy_{kind}_rule")
    policy: QosPolicy = plain.find(POLICY, ctx, tx, policy_id, "get")
    target = plain.target(POLICY, ctx, tx, policy)
    ctx.require(f"{action}_policy_{kind}_rule", target)
    return policy


def list_rules(ctx: Context, policy_id: str, kind: str, wanted: Wanted) -> list[QosRule]:
    """Return a policy's rules of a kind."""
    with ctx.cloud.db.read() as tx:
        _policy(ctx, tx, policy_id, kind, "get")
        return store.list_rules(tx, policy_id, kind, wanted)


def show_rule(ctx: Context, policy_id: str | None, kind: str, id: str) -> QosRule:
    """Return one rule, of a policy or of any.  :raises NotFound: when there is none."""
    with ctx.cloud.db.read() as tx:
        return _rule(ctx, tx, policy_id, kind, id, "get")


def _rule(ctx: Context, tx: Connection, policy_id: str | None, kind: str, id: str, action: str) -> QosRule:
    rule = store.find_rule(tx, id)
    if policy_id is not None:
        _policy(ctx, tx, policy_id, kind, action)
    if rule is None or rule.kind != kind or policy_id not in (None, rule.qos_policy_id):
        raise missing("policy_rule", id)
    if policy_id is None:
        try:
            _policy(ctx, tx, rule.qos_policy_id, kind, action)
        except NotFound:
            raise missing("policy_rule", id) from None
    return rule


def create_rule(ctx: Context, policy_id: str, kind: str, attributes: Attributes) -> QosRule:
    """Add a rule to a policy.

    :raises Conflict: when it has such a rule already, or hosts cannot enforce it for the ports that use the policy.
    """

    def work(tx: Connection) -> QosRule:
        policy = _policy(ctx, tx, policy_id, kind, "create")
        facts: dict[str, Any] = {"direction": "egress", "max_kbps": None, "max_burst_kbps": None, "min_kbps": None}
        facts |= {"dscp_mark": None} | attributes
        _check(tx, policy, kind, facts, None)
        if kind not in APPLIED and store.users(tx, policy_id):
            raise _unsupported(kind, policy_id)
        row = {"id": ids.uuid(), "qos_policy_id": policy_id, "kind": kind, **facts}
        made = QosRule(**rows.insert_row(tx, qos_rules, ctx.cloud.clock.now(), row))
        _follow(tx, ctx.cloud, policy_id)
        return made

    return access.transact(ctx.cloud, work)


def _unsupported(kind: str, what: str) -> Exception:
    return conflict("QosRuleNotSupported", f"Rule {kind} is not supported by the ports that {what} is for.")


def _check(tx: Connection, policy: QosPolicy, kind: str, facts: dict[str, Any], own: str | None) -> None:
    """Check a rule's figures, and that no other rule of the policy is of its kind and direction."""
    if facts["max_burst_kbps"] is None:
        facts["max_burst_kbps"] = 0 if kind == LIMIT else None
    if kind == MARK and facts["dscp_mark"] not in DSCP_MARKS:
        raise invalid(f"{facts['dscp_mark']} is not a valid DSCP mark", "InvalidInput")
    for other in policy.rules:
        if other.id != own and other.kind == kind and (kind == MARK or other.direction == facts["direction"]):
            text = f"Rule {kind} already exists in QoS Policy {policy.id}."
            raise conflict("QoSRuleParameterConflict" if kind != MARK else "QoSRulesConflict", text)
    least = [r.min_kbps for r in policy.rules if r.kind == MINIMUM and r.direction == facts["direction"] and r.id != own]
    most = [r.max_kbps for r in policy.rules if r.kind == LIMIT and r.direction == facts["direction"] and r.id != own]
    low = facts["min_kbps"] if kind == MINIMUM else next(iter(least), None)
    high = facts["max_kbps"] if kind == LIMIT else next(iter(most), None)
    if low and high and low > high and kind != MARK:
        raise conflict("QoSRuleParameterConflict", f"A minimum of {low} kbps is above the limit of {high} kbps.")


def change_rule(
    ctx: Context, policy_id: str | None, kind: str, id: str, attributes: Attributes, revision: int | None = None
) -> QosRule:
    """Change a rule's figures; those not named stay."""

    def work(tx: Connection) -> QosRule:
        rule = _rule(ctx, tx, policy_id, kind, id, "update")
        access.check_revision(revision, rule.revision_number)
        policy = plain.read(POLICY, tx, rule.qos_policy_id)
        assert policy is not None
        names = ("direction", "max_kbps", "max_burst_kbps", "min_kbps", "dscp_mark")
        facts = {name: getattr(rule, name) for name in names} | attributes
        _check(tx, policy, kind, facts, id)
        rows.update_row(tx, qos_rules, ctx.cloud.clock.now(), id, facts)
        _follow(tx, ctx.cloud, policy.id)
        found = store.find_rule(tx, id)
        assert found is not None
        return found

    return access.transact(ctx.cloud, work)


def remove_rule(ctx: Context, policy_id: str | None, kind: str, id: str, revision: int | None = None) -> None:
    """Remove a rule from its policy."""

    def work(tx: Connection) -> None:
        rule = _rule(ctx, tx, policy_id, kind, id, "delete")
        access.check_revision(revision, rule.revision_number)
        rows.delete_row(tx, qos_rules, id)
        _follow(tx, ctx.cloud, rule.qos_policy_id)

    access.transact(ctx.cloud, work)


def _follow(tx: Connection, cloud: Cloud, policy_id: str) -> None:
    """Count the policy's revision up, and have all that uses it made as its rules now say."""
    rows.update_row(tx, qos_policies, cloud.clock.now(), policy_id, {})
    for kind, id, _ in store.users(tx, policy_id):
        if kind == "network":
            sync.touch_ports(tx, cloud, id)
        elif kind == "floatingip":
            sync.touch_floating(tx, cloud, id)
        else:
            sync.touch(tx, cloud, kind, id)


def check_use(tx: Connection, ctx: Context, policy_id: str | None) -> None:
    """Check that the caller may use a policy, and that hosts can enforce it.

    :raises NotFound: when they do not see it.
    :raises Conflict: when a rule of it is of a kind that hosts do not enforce.
    """
    if not policy_id:
        return
    policy: QosPolicy = plain.find(POLICY, ctx, tx, policy_id, "get")
    for rule in policy.rules:
        if rule.kind not in APPLIED:
            raise _unsupported(rule.kind, policy_id)


def default_for(tx: Connection, project_id: str) -> str | None:
    """Return the policy that a project's new networks get."""
    return store.default_of(tx, project_id)


def rule_types(ctx: Context) -> list[str]:
    """Return the kinds of rules that hosts enforce."""
    ctx.require("get_rule_type")
    return list(APPLIED)


def rule_type(ctx: Context, name: str) -> dict[str, Any]:
    """Return how a kind of rule is enforced.  :raises NotFound: when it is not."""
    ctx.require("get_rule_type_details")
    if name not in APPLIED:
        raise missing("rule_type", name)
    rate = {"parameter_type": "range", "parameter_values": {"start": 0, "end": 2_147_483_647}}
    either = {"parameter_type": "choices", "parameter_values": ["ingress", "egress"]}
    marks = {"parameter_type": "choices", "parameter_values": list(DSCP_MARKS)}
    known = {
        LIMIT: [{"parameter_name": "max_kbps", **rate}, {"parameter_name": "max_burst_kbps", **rate},
                {"parameter_name": "direction", **either}],
        MARK: [{"parameter_name": "dscp_mark", **marks}],
    }  # fmt: skip
    return {"type": name, "drivers": [{"name": "linux", "supported_parameters": known[name]}]}
