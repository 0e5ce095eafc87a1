"""What was sent before, remembered between runs: an unchanged file is neither read nor sent again."""
