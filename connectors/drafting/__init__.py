"""The first connector file: what columns and values suggest. Proposes; a person decides."""
