from django.db import migrations, models

from crm.fields import MarketingStatusField


def attach(model, table, arguments=''):
    """Attach a table; what attach() adds to it becomes part of the model's state."""
    fields = {
        'marketing_contact_status': MarketingStatusField(),
        'marketing_contact_until_next_update': models.BooleanField(null=True, blank=True),
        'marketing_contact_status_source_type': models.TextField(null=True, editable=False),
        'marketing_contact_status_source_name': models.TextField(null=True, editable=False),
        'marketing_contact_status_updated_at': models.DateTimeField(null=True, editable=False),
    }
    return migrations.RunSQL(
        f"SELECT contacts_tier.attach('{table}', 'account_id'{arguments})",
        f"SELECT contacts_tier.detach('{table}', drop_columns => true)",
        state_operations=[migrations.AddField(model, name, field) for name, field in fields.items()])


class Migration(migrations.Migration):
    dependencies = [('crm', '0001_initial')]
    operations = [
        attach('contact', 'contacts'),
        attach('lead', 'leads', ', whole_row_saves => true'),
    ]
