"""What compute takes from image, network and volume, in the few shapes that it needs: a module a neighbour.

Beside them only service/old_*, which hand calls of nova's old API on, know those services.
"""

from pileus.compute.neighbours import images, network, volumes

__all__ = ["images", "network", "volumes"]
