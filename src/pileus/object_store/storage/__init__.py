"""Devices that keep accounts, containers and objects, the rings that spread them, and the daemons that heal them."""
