from django.db import models


class MarketingStatus(models.TextChoices):
    NON_MARKETING = 'non_marketing'
    MARKETING = 'marketing'


class MarketingStatusField(models.CharField):
    """A column of type contacts_tier.marketing_status; NULL gives no status."""

    def __init__(self, *args, **kwargs):
        kwargs.update(choices=MarketingStatus.choices, max_length=13, null=True, blank=True)
        super().__init__(*args, **kwargs)

    def db_type(self, connection):
        return 'contacts_tier.marketing_status'
