"""The use cases, a module a noun: check the policy, decide, write down, start or signal."""
