"""What would be sent, found out before anything is."""
