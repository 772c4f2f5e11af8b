"""What the Makefile runs beside the service itself."""
