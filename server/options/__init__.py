"""What may change while the server runs, and how other devices come in."""
