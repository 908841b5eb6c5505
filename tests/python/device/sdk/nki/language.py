"""Names only: the stand-in runs no kernel."""
