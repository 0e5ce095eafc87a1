"""What PFS can do, each a plain function inside one transaction."""
