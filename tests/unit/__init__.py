"""Rules and other pure functions, without a server or a database."""
