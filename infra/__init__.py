"""What Tidemark stands on outside its own code: emulators, the local stack, deployment."""
