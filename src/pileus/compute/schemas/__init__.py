"""Request and answer shapes by microversion, a module a noun."""
