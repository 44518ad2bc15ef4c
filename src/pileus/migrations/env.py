"""Run by Alembic: migrate over the connection that `pileus.migrations.upgrade` hands over."""

from alembic import context

import pileus.main  # noqa: F401  (knows every table)
from pileus.kernel.db import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
