"""The use cases of the network service: what callers may do, and what compute asks of it (`guests`, `wiring`)."""
