"""The hosts of a cloud of many: how one joins by a token, and which have joined.

What a host does is no matter here (its agent says so on the bus); this is who may be part of the cloud at all.
"""
