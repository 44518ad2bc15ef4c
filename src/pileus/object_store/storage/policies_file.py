"""The storage policies of a cluster: RINGS/policies.conf, in the grammar of swift.conf.

    [storage-policy:1]
    name = coded
    aliases = cold, archive
    default = yes
    policy_type = erasure_coding
    ec_type = isa_l_rs_cauchy
    ec_num_data_fragments = 4
    ec_num_parity_fragments = 2
    ec_object_segment_size = 1048576

A policy whose ring is there, but which the file does not mention, keeps whole replicas and is called Policy-INDEX.
"""

import configparser
from collections.abc import Iterable

from pileus.object_store.backend import StoragePolicy
from pileus.object_store.coding import Coding, CodingError

SECTION = "storage-policy:"
REPLICATION, ERASURE_CODING = "replication", "erasure_coding"


def load_policies(rings_dir: str, indexes: Iterable[int]) -> tuple[StoragePolicy, ...]:
    """Read the policies of the rings with these indexes; without a file: plain ones, 0 being the default.

    :raises ValueError: when the file, or a code in it, is wrong.
    """
    parser = configparser.ConfigParser(interpolation=None)
    path = f"{rings_dir}/policies.conf"
    try:
        parser.read(path, encoding="utf-8")
        named = {int(name.removeprefix(SECTION)): parser[name] for name in parser.sections() if name.startswith(SECTION)}
        found = [_policy(index, named.get(index)) for index in sorted(indexes)]
    except (configparser.Error, CodingError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if missing := set(named) - {policy.index for policy in found}:
        raise ValueError(f"{path}: there is no ring for policy {min(missing)}")
    return _with_default(path, found)


def _policy(index: int, section: configparser.SectionProxy | None) -> StoragePolicy:
    if section is None:
        return StoragePolicy(index, f"Policy-{index}")
    kind = section.get("policy_type", REPLICATION)
    if kind not in {REPLICATION, ERASURE_CODING}:
        raise ValueError(f"policy_type {kind!r} is none of {REPLICATION}, {ERASURE_CODING}")
    names = [name.strip() for name in (section.get("name", f"Policy-{index}") + "," + section.get("aliases", "")).split(",")]
    first, *aliases = (name for name in names if name)
    return StoragePolicy(
        index,
        first,
        tuple(aliases),
        section.getboolean("default", False),
        section.getboolean("deprecated", False),
        _coding(section) if kind == ERASURE_CODING else None,
    )


def _coding(section: configparser.SectionProxy) -> Coding:
    for name in ("ec_type", "ec_num_data_fragments", "ec_num_parity_fragments"):
        if name not in section:
            raise ValueError(f"{name} is missing in [{section.name}]")
    coding = Coding(
        section["ec_type"],
        int(section["ec_num_data_fragments"]),
        int(section["ec_num_parity_fragments"]),
        section.getint("ec_object_segment_size", 1_048_576),
    )
    coding.check()
    return coding


def _with_default(path: str, found: list[StoragePolicy]) -> tuple[StoragePolicy, ...]:
    names = [name.lower() for policy in found for name in (policy.name, *policy.aliases)]
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: a name is given twice")
    defaults = [policy for policy in found if policy.is_default]
    if len(defaults) > 1 or any(policy.is_deprecated for policy in defaults):
        raise ValueError(f"{path}: one policy that is not deprecated must be the default")
    chosen = defaults[0].index if defaults else min((policy.index for policy in found if not policy.is_deprecated), default=0)
    return tuple(_made_default(policy) if policy.index == chosen else policy for policy in found)


def _made_default(policy: StoragePolicy) -> StoragePolicy:
    return StoragePolicy(policy.index, policy.name, policy.aliases, True, policy.is_deprecated, policy.coding)
