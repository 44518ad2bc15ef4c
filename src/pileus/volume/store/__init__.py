"""Questions asked of the tables, a module a noun."""
