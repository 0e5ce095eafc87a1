"""From documents to pipelines that count: specs, the defaults under them, templates of them."""
