"""Learning together through one topic, without showing a customer record.

The core is pure: identities and envelopes, masked sums, robust rules, server strategies, compression, privacy accounting
and the audit chain know no Kafka, no file (but the key store) and no TensorFlow; coordinator and participant stand on them.
"""
