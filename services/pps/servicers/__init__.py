"""pps_v2.API, pipeline side: from the wire and back."""
