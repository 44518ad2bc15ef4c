"""The agent of a host: serves the host's drivers over the bus.  It has no database and decides nothing."""
