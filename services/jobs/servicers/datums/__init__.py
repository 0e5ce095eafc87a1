"""Datums from the wire and back: of jobs, of inputs that are no pipeline's, and why they ran; why jobs wait, too."""
