"""The tables of PFS and what is asked of them."""
