"""Questions asked of the tables, a module a noun; answers are plain frozen records."""
