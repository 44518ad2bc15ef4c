"""The use cases: functions of a Context, a module a noun.  Other services enter here only."""
