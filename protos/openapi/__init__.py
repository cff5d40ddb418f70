"""Makes the OpenAPI description of the REST routes from the contract, when its wheel is built."""
