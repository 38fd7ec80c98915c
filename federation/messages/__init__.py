"""Who says what: identities, signed and sealed envelopes, rights, and bytes that nobody trusts yet."""
