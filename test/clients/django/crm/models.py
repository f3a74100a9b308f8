from django.db import models

from .fields import MarketingStatusField


class Account(models.Model):
    id = models.BigIntegerField(primary_key=True)
    name = models.TextField()

    class Meta:
        db_table = 'account'


class Person(models.Model):
    account = models.ForeignKey(Account, models.CASCADE)
    email = models.TextField()
    name = models.TextField(default='')
    marketing_contact_status = MarketingStatusField()
    marketing_contact_until_next_update = models.BooleanField(null=True, blank=True)
    marketing_contact_status_source_type = models.TextField(null=True, editable=False)
    marketing_contact_status_source_name = models.TextField(null=True, editable=False)
    marketing_contact_status_updated_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        abstract = True
        unique_together = [('account', 'email')]


class Contact(Person):
    class Meta(Person.Meta):
        db_table = 'contacts'


class Lead(Person):
    class Meta(Person.Meta):
        db_table = 'leads'
