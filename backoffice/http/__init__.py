"""HTTP: requests become calls of the other rooms, results become JSON, errors become problems (RFC 9457)."""
