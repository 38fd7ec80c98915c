"""The retailer's network in a federation: its common form, joint statistics, one local round."""
