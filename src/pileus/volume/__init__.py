"""Block storage: volumes, snapshots and backups, what they are made of, and who may reach them."""
