"""Pictures with learned people in them, and what is saved beside each."""
