"""Generated from proto/*.proto by scripts/generate-proto.sh. Do not edit by hand."""
