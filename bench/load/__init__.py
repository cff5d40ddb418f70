"""A load generator for requests that differ from one another, in HTTP/1.1 and in gRPC.

h2load sends one body again and again. This one sends any, over raw sockets and
as bytes made beforehand, so that it costs about as little; and it looks into
every answer.
"""
