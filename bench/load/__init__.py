"""A load generator for HTTP/1.1 and gRPC whose requests all differ.

h2load repeats one body. This generator sends any number of prepared requests
over raw sockets, at about the CPU cost of h2load, and checks every response.
"""
