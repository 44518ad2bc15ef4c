"""The hypervisors.  Each module or folder here fulfils `pileus.compute.driver.Hypervisor` and knows nothing else of the cloud."""
