"""The client under faults: what is on the wire, what the caller gets, how often it was asked."""
