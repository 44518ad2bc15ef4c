"""The use cases of the object store, a module a noun or a feature."""
