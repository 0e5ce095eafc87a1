"""Getting a datum's files from the store to where user code reads them."""
