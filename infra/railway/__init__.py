"""Deployment on Railway: the image, the project, the cron ping, and the Pub/Sub topic for Gmail's pushes."""
