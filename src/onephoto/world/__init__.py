"""People who do not exist, and pictures of them: geometry, paint, hair, scenes, captions."""
