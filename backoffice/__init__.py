"""The door for checkouts and the desk for people: HTTP in front of a retailer's topics. Nothing in scoring waits for it."""
