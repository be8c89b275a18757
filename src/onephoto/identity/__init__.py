"""A person at the door: photos in, identity files in and out."""
