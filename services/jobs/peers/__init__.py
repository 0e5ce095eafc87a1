"""What this service asks of its peers, in its own words. The only place here that makes such calls."""
