"""What one client, one recipient and all clients together may ask of a deployment, counted in its table."""
