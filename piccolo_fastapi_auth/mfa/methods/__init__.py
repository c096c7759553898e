"""The shipped second factors, a file each."""
