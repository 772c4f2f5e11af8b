"""What Lambda runs: one folder, one function."""
