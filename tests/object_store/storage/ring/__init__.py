"""Tests of rings."""
