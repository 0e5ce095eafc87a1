"""Commands about pipelines and what they do."""
