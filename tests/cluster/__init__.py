"""A cloud of many processes whose hosts are fakes that outlive their agents."""
