"""Many files at once: packs written to the store and read from it, folders walked and unpacked."""
