"""What this service asks of its peers, in its own words."""
