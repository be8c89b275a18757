"""Put one person, from one photo, into a text-to-image model."""

__version__ = "0.1.0"
