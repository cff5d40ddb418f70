"""Where customers are kept: the only room that knows Peewee or SQL.

Every call names the tenant first, and no statement is without it.
"""
