"""Other APIs over what the services keep: they translate, and hold no rule of the data themselves."""
