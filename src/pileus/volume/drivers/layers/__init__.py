"""Volumes as files: layers over layers, what is known of them, and what is done to them while nobody uses them.

For every back end that keeps volumes in files, however it serves them.
"""
