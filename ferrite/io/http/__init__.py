"""The HTTP face of a node (front door): strict JSON in, stable problem codes out, limits on everything."""

from ferrite.io.http.cluster_json import Identity
from ferrite.io.http.server import AddressInUse, CannotListen, HttpServer
from ferrite.io.http.settings import HttpSettings, http_settings

__all__ = ["AddressInUse", "CannotListen", "HttpServer", "HttpSettings", "Identity", "http_settings"]
