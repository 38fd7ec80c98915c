"""Which partition a message goes to: stable across restarts, versions and languages. Pure."""

import zlib

from contract.events import Transaction


def choose_partition(partition_by: bytes, partitions: int) -> int:
    """CRC-32 of `partition_by` modulo `partitions`; a customer's transactions stay in one partition and in order."""
    return zlib.crc32(partition_by) % partitions


def get_partition_key(transaction: Transaction) -> bytes:
    """Whom a transaction stays in order with: its customer, else its card, else its device, else nobody."""
    return (transaction.customer or transaction.card or transaction.device or transaction.transaction_id).encode()
