"""What the processes of a retailer say of themselves, and how it is put in words."""
