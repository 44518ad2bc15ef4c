"""Long work of compute, and what follows the hosts."""
