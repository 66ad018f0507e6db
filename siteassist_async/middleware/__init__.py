"""The links of the chain, one a file."""
