"""Kafka, Redis, MariaDB and a MongoDB wire server on one machine, without Docker, root or Java: for trying out and for tests.

Knows nothing of transactions or scoring. Everything it starts can be stopped by another process later, from what stands in
`stack.json` in the state folder, and it never signals a process that it cannot identify as its own.
"""
