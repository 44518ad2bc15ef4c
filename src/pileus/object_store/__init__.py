"""The object store: a Swift that keeps every byte.

`backend` is the contract between the two halves: `storage` keeps accounts, containers and objects on devices, and the proxy
(`api`, `service`) turns the v1 API into calls of one or many such devices, which it finds on rings.
"""
