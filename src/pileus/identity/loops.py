"""What identity repeats: rotating token keys, forgetting old revocations."""

import math

from pileus.identity.service.tokens import EXPIRED_WINDOW_SECONDS
from pileus.identity.state import state_of
from pileus.identity.store import revisions
from pileus.kernel.context import Cloud
from pileus.kernel.loops import Loop


def rotate_keys(cloud: Cloud) -> None:
    """Make a new primary key when the present one is old; keep those that valid tokens may still need."""
    settings, now, keys = cloud.settings, cloud.clock.now(), state_of(cloud).token_keys
    keys.ensure(now)
    if now - keys.primary_since() < settings.key_rotation_seconds:
        return
    lifetime = settings.token_seconds + EXPIRED_WINDOW_SECONDS
    keys.rotate(now, keep=math.ceil(lifetime / settings.key_rotation_seconds) + 2)


def forget_revocations(cloud: Cloud) -> None:
    """Forget which tokens were declared void once all of them have expired."""
    before = cloud.clock.now() - cloud.settings.token_seconds - EXPIRED_WINDOW_SECONDS
    with cloud.db.begin() as tx:
        revisions.prune(tx, before)


LOOPS = (Loop("identity-keys", 60, rotate_keys), Loop("identity-revocations", 3600, forget_revocations))
