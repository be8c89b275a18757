"""How well pictures show a person and a prompt."""
