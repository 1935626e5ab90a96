"""Stand-ins for Gmail, Microsoft Graph, their identity services and Upstash, as strict as the real ones.

Each emulator is an ASGI app in its own module: `create_app(…)`, served over real HTTP by `server.Server`.
Provider paths follow the provider; everything that only a test needs lives below `/_admin/`.
"""
