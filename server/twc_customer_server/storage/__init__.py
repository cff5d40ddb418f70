"""Storage of customers, the only room that knows Peewee and SQL.

Every method takes the tenant first, and every statement names it.
"""
