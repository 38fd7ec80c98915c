"""Who may do what: people, roles, sessions, access tokens and second persons."""
