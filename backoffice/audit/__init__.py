"""The record of what was done: appended to, chained by digests, never changed."""
