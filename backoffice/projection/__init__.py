"""What a retailer's topics said, in tables that are asked by transaction, entity, case and time."""
