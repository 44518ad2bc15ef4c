"""Resource providers and which of them could take a request.  Pure.

A provider has inventories of resource classes, traits, and aggregates; providers form trees.  A candidate says how much
of each class would be taken from which provider, all of one tree.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

CANDIDATES_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Inventory:
    """How much of a class there is, and in what portions it is given out."""

    total: int
    reserved: int = 0
    min_unit: int = 1
    max_unit: int = 2**31 - 1
    step_size: int = 1
    allocation_ratio: float = 1.0

    @property
    def capacity(self) -> int:
        return int((self.total - self.reserved) * self.allocation_ratio)

    def fits(self, used: int, amount: int) -> bool:
        """Tell whether an amount may be given out on top of what is."""
        return used + amount <= self.capacity and self.min_unit <= amount <= self.max_unit and amount % self.step_size == 0


@dataclass(frozen=True, slots=True)
class Provider:
    """Whoever has resources.  host is the name of the compute host that it stands for; empty: none."""

    uuid: str
    name: str
    generation: int
    root_uuid: str
    parent_uuid: str | None = None
    host: str = ""
    updated_at: float = 0.0
    inventories: Mapping[str, Inventory] = field(default_factory=dict)
    used: Mapping[str, int] = field(default_factory=dict)
    traits: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()

    def fits(self, name: str, amount: int) -> bool:
        """Tell whether an amount of a class is to be had here."""
        inventory = self.inventories.get(name)
        return inventory is not None and inventory.fits(self.used.get(name, 0), amount)


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a request.

    :param required: sets of traits, of each of which one is there.
    :param member_of: sets of aggregates, in one of each of which the provider is.
    """

    suffix: str = ""
    resources: Mapping[str, int] = field(default_factory=dict)
    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()
    member_of: tuple[frozenset[str], ...] = ()
    not_member_of: frozenset[str] = frozenset()
    in_tree: str = ""

    def placed(self, provider: Provider) -> bool:
        """Tell whether a provider is in the right aggregates."""
        inside = all(provider.aggregates & wanted for wanted in self.member_of)
        return inside and not provider.aggregates & self.not_member_of

    def has_traits(self, traits: Iterable[str]) -> bool:
        """Tell whether traits meet the wish."""
        found = frozenset(traits)
        return all(found & wanted for wanted in self.required) and not found & self.forbidden


@dataclass(frozen=True, slots=True)
class Candidate:
    """What would be taken from whom, and which providers serve each group of the request."""

    allocations: Mapping[str, Mapping[str, int]]
    mappings: Mapping[str, tuple[str, ...]]


def matching(providers: Iterable[Provider], wish: Group) -> list[Provider]:
    """Return the providers that each alone meet a wish, as in GET /resource_providers."""
    found = list(providers)
    if wish.in_tree:
        roots = {each.root_uuid for each in found if each.uuid == wish.in_tree}
        found = [each for each in found if each.root_uuid in roots]
    return [
        each
        for each in found
        if wish.placed(each)
        and wish.has_traits(each.traits)
        and all(each.fits(name, amount) for name, amount in wish.resources.items())
    ]


@dataclass(frozen=True, slots=True)
class Wishes:
    """All that is asked of allocation candidates.  root_required concerns the root of the tree."""

    groups: Sequence[Group]
    isolate: bool = False
    root: Group = Group()
    same_subtree: tuple[frozenset[str], ...] = ()
    nested: bool = True
    limit: int | None = None


def candidates(providers: Sequence[Provider], wishes: Wishes) -> list[Candidate]:
    """Return the ways to meet a request, at most limit of them."""
    trees: dict[str, list[Provider]] = defaultdict(list)
    for provider in providers:
        trees[provider.root_uuid].append(provider)
    by_uuid = {provider.uuid: provider for provider in providers}
    found: Iterator[Candidate] = itertools.chain.from_iterable(
        _of_tree(tree, wishes, by_uuid) for root, tree in trees.items() if wishes.root.has_traits(by_uuid[root].traits)
    )
    return list(itertools.islice(found, wishes.limit or CANDIDATES_MOST))


def _of_tree(tree: Sequence[Provider], wishes: Wishes, by_uuid: Mapping[str, Provider]) -> Iterator[Candidate]:
    options = [list(itertools.islice(_of_group(tree, group, wishes.nested), CANDIDATES_MOST)) for group in wishes.groups]
    seen = set()
    for chosen in itertools.product(*options):
        pairs = list(zip(wishes.groups, chosen, strict=True))
        alone = [next(iter(each)) for group, each in pairs if group.suffix and each]
        if wishes.isolate and len(set(alone)) < len(alone):
            continue
        total: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for each in chosen:
            for uuid, resources in each.items():
                for name, amount in resources.items():
                    total[uuid][name] += amount
        if not all(by_uuid[uuid].fits(name, n) for uuid, many in total.items() for name, n in many.items()):
            continue
        mappings = {group.suffix: tuple(each) for group, each in pairs}
        if not all(_one_subtree(same, mappings, by_uuid) for same in wishes.same_subtree):
            continue
        mark = (tuple(sorted((u, n, a) for u, many in total.items() for n, a in many.items())), tuple(mappings.items()))
        if total and mark not in seen:
            seen.add(mark)
            yield Candidate({uuid: dict(many) for uuid, many in total.items()}, mappings)


def _of_group(tree: Sequence[Provider], group: Group, nested: bool) -> Iterator[dict[str, dict[str, int]]]:
    """The ways to meet one group: one with a suffix by one provider, the one without by any of the tree."""
    if group.in_tree and group.in_tree not in {provider.uuid for provider in tree}:
        return
    fit = [provider for provider in tree if group.placed(provider)]
    if group.suffix or not nested:
        for provider in fit:
            if group.has_traits(provider.traits) and all(provider.fits(name, n) for name, n in group.resources.items()):
                yield {provider.uuid: dict(group.resources)}
        return
    names = list(group.resources)
    if not names:
        yield {}
        return
    holders = [[provider for provider in fit if provider.fits(name, group.resources[name])] for name in names]
    for chosen in itertools.product(*holders):
        if any(provider.traits & group.forbidden for provider in chosen):
            continue
        if not group.has_traits(itertools.chain.from_iterable(provider.traits for provider in chosen)):
            continue
        taken: dict[str, dict[str, int]] = defaultdict(dict)
        for name, provider in zip(names, chosen, strict=True):
            taken[provider.uuid][name] = group.resources[name]
        yield dict(taken)


def _one_subtree(same: frozenset[str], mappings: Mapping[str, tuple[str, ...]], by_uuid: Mapping[str, Provider]) -> bool:
    uuids = {uuid for suffix in same for uuid in mappings.get(suffix, ())}
    lines = [_line(uuid, by_uuid) for uuid in uuids]
    return not lines or any(all(uuid in line for line in lines) for uuid in uuids)


def _line(uuid: str, by_uuid: Mapping[str, Provider]) -> set[str]:
    found: set[str] = set()
    here: str | None = uuid
    while here is not None and here in by_uuid:
        found.add(here)
        here = by_uuid[here].parent_uuid
    return found
