"""What run folders say, as text, tables and pictures."""
