"""The sync loop over real HTTP: real wiring, real Valkey behind the bridge, the providers' stand-ins."""
