"""The Django model of the table."""

from django.db import models

from bench.peers import table


class Customer(table.RowMixin, models.Model):
    """A row of the table."""

    pk = models.CompositePrimaryKey("tenant", "id")
    tenant = models.TextField()
    id = models.TextField()
    customer_ref = models.TextField(null=True)
    email = models.TextField()
    email_key = models.TextField()
    first_name = models.TextField(null=True)
    first_name_key = models.TextField(null=True)
    last_name = models.TextField(null=True)
    last_name_key = models.TextField(null=True)
    mobile = models.TextField(null=True)
    phone = models.TextField(null=True)
    dob = models.TextField(null=True)
    active = models.BooleanField()
    accepts_marketing = models.BooleanField()
    customer_state = models.TextField()
    marketing_optin_level = models.TextField(null=True)
    marketing_preferences_updated_at = models.TextField(null=True)
    tax_exempt = models.BooleanField()
    tax_exemptions = models.JSONField()
    verified_email = models.BooleanField()
    addresses = models.JSONField()
    attribute_groups = models.JSONField()
    created_date = models.TextField()
    last_modified_date = models.TextField()

    class Meta:
        app_label = "peers"
        db_table = "customer"
        indexes = [
            models.Index(fields=columns, name=name)
            for name, columns, unique in table.INDEXES
            if not unique
        ]
        constraints = [
            models.UniqueConstraint(fields=columns, name=name)
            for name, columns, unique in table.INDEXES
            if unique
        ]
