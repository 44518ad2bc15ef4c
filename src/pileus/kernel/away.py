"""When the database does not do what it was asked although the question was right: who collided with another transaction tries
again, as does who wrote down what another had written between his look and his writing, and, once, who found the server gone.

What may be run again as a whole goes through `insist`: a transaction (`Database.repeat`), a request that has committed nothing
yet, a step.
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pileus.kernel.errors import Unavailable

Result = TypeVar("Result")

COLLISION_STATES = {"40001", "40P01", "55P03"}  # PostgreSQL: serialization failure, deadlock, lock not available
COLLISION_NUMBERS = {1020, 1205, 1213}  # MariaDB: record has changed, lock wait timeout, deadlock
GONE_STATES = {"57P01", "57P02", "57P03", "53300", "25006"}  # it stops, starts, has no room, or only reads since a fail-over
GONE_NUMBERS = {1040, 1053, 1290, 1792, 1836, 1927, 2002, 2003, 2006, 2013, 2055}  # the same of MariaDB
RETRY_AFTER = {"Retry-After": "2"}
COLLISIONS = 10
OVERTAKEN = 4  # tries of who breaks a constraint: a look that comes first would have told, had it not been for another's writing
COLLISION_SECONDS, COLLISION_SECONDS_MAX = 0.01, 0.5
GONE_SECONDS = 0.3


class DatabaseAway(Unavailable):
    """The database cannot be reached now, or has no connection left.

    :param undone: nothing of the transaction is kept, for sure; False when the connection was lost while it was committed.
    """

    def __init__(self, undone: bool = True, message: str = "The database does not answer now. Try again later.") -> None:
        super().__init__(message, headers=RETRY_AFTER)
        self.undone = undone


class Collided(DatabaseAway):
    """Another transaction was in the way (a deadlock, a serialization failure): nothing is kept, and it is to be done again."""

    def __init__(self) -> None:
        super().__init__(True, "Too much happens at once. Try again later.")


def recognize(error: DBAPIError | PoolTimeout, committing: bool) -> DatabaseAway | None:
    """Return what an error of the driver means; None: something else, a broken constraint for example.

    :param committing: whether the transaction's end had been asked for.
    """
    if isinstance(error, PoolTimeout):
        return DatabaseAway()
    state, number = getattr(error.orig, "sqlstate", ""), (error.orig.args or ("",))[0] if error.orig else ""
    if state in COLLISION_STATES or number in COLLISION_NUMBERS:
        return Collided()
    kinds = {kind.__name__ for kind in type(error.orig).__mro__}
    unreached = state is None and "OperationalError" in kinds  # what psycopg says before it is connected
    if error.connection_invalidated or unreached or state in GONE_STATES or number in GONE_NUMBERS or (state or "")[:2] == "08":
        return DatabaseAway(not committing)
    return None


def insist(action: Callable[[], Result], may_repeat: Callable[[], bool] = lambda: True) -> Result:
    """Run something, and again after a collision (after a random, growing while) or, once, after the database was away.

    :param may_repeat: asked before each repetition.
    :raises DatabaseAway: when it does not help, or may not be repeated.
    :raises IntegrityError: when it breaks a constraint again and again.
    """
    tries = losses = 0
    while True:
        try:
            return action()
        except (DatabaseAway, IntegrityError) as trouble:
            tries += 1
            lost = isinstance(trouble, DatabaseAway) and not isinstance(trouble, Collided)
            losses += lost
            most = OVERTAKEN if isinstance(trouble, IntegrityError) else COLLISIONS
            undone = isinstance(trouble, IntegrityError) or trouble.undone
            if tries >= most or losses > 1 or not undone or not may_repeat():
                raise
            while_seconds = min(COLLISION_SECONDS * 2.0**tries, COLLISION_SECONDS_MAX)
            time.sleep(GONE_SECONDS if lost else random.uniform(0.0, while_seconds))
