"""Tests of the devices, rings and daemons of the object store."""
