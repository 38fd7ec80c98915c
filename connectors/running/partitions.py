"""Which partition a message goes to: stable across restarts, versions and languages. Pure."""

import zlib


def choose_partition(partition_by: bytes, partitions: int) -> int:
    """CRC-32 of `partition_by` modulo `partitions`; a customer's transactions stay in one partition and in order."""
    return zlib.crc32(partition_by) % partitions
