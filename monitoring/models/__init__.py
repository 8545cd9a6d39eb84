"""What monitoring keeps, in the database `history`."""
