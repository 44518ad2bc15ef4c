"""The faults of the network API that several parts raise, under their OpenStack names."""

from collections.abc import Callable

from pileus.kernel.errors import BadRequest, Conflict, NotFound

_MISSING = {
    "network": ("NetworkNotFound", "Network {} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {} could not be found."),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {} could not be found."),
    "address_scope": ("AddressScopeNotFound", "Address scope {} could not be found"),
    "port": ("PortNotFound", "Port {} could not be found."),
    "router": ("RouterNotFound", "Router {} could not be found"),
    "floatingip": ("FloatingIPNotFound", "Floating IP {} could not be found"),
    "security_group": ("SecurityGroupNotFound", "Security group {} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {} does not exist"),
    "agent": ("AgentNotFound", "Agent {} could not be found."),
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy {} could not be found."),
    "rbac_object": ("RbacObjectNotFound", "Object {} that the policy is for could not be found."),
    "policy": ("QosPolicyNotFound", "QoS policy {} could not be found."),
    "policy_rule": ("QosRuleNotFound", "QoS rule {} could not be found."),
    "rule_type": ("RuleTypeNotFound", "QoS rule type {} could not be found."),
    "address_group": ("AddressGroupNotFound", "Address group {} could not be found."),
    "default_security_group_rule": ("DefaultSecurityGroupRuleNotFound", "Default Security Group rule {} could not be found."),
    "metering_label": ("MeteringLabelNotFound", "Metering label {} does not exist."),
    "metering_label_rule": ("MeteringLabelRuleNotFound", "Metering label rule {} does not exist."),
    "port_forwarding": ("PortForwardingNotFound", "Port Forwarding {} could not be found."),
    "flavor": ("FlavorNotFound", "Flavor {} could not be found."),
    "service_profile": ("ServiceProfileNotFound", "Service Profile {} could not be found."),
    "trunk": ("TrunkNotFound", "Trunk {} could not be found."),
    "extension": ("ExtensionNotFound", "Extension with alias {} does not exist"),
}


def missing(noun: str, id: str) -> NotFound:
    """There is no such thing, or not for this caller."""
    kind, text = _MISSING[noun]
    return NotFound(text.format(id), kind=kind)


def invalid(text: str, kind: str = "InvalidInput") -> BadRequest:
    """What was given breaks a rule."""
    return BadRequest(f"Invalid input for operation: {text}." if kind == "InvalidInput" else text, kind=kind)


def bad_attribute(name: str, reason: str) -> BadRequest:
    """A single attribute is not well formed."""
    return BadRequest(f"Invalid input for {name}. Reason: {reason}.", kind="HTTPBadRequest")


def conflict(kind: str, text: str) -> Conflict:
    """The thing is not in a state that allows this."""
    return Conflict(text, kind=kind)


Missing = Callable[[str], NotFound]
