"""People, access tokens, the audit trail and backups of the backoffice on the command line."""
