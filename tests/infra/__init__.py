"""The emulators, held to what the real services and their official clients demand."""
