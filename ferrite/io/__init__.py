"""The real drivers: event loop, files, RocksDB, HTTP, gRPC, configuration, command line."""
