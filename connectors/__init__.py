"""From a retailer's database to its transactions topic: snapshot, then stream, mapped and tokenised, nothing lost."""
