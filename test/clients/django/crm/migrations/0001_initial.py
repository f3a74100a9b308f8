import django.db.models.deletion
from django.contrib.postgres.operations import CreateExtension
from django.db import migrations, models

person = [
    ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
    ('email', models.TextField()),
    ('name', models.TextField(default='')),
    ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, to='crm.account')),
]


class Migration(migrations.Migration):
    operations = [
        CreateExtension('contacts_tier'),
        migrations.CreateModel('Account', [('id', models.BigIntegerField(primary_key=True, serialize=False)),
                                           ('name', models.TextField())],
                               options={'db_table': 'account'}),
        migrations.CreateModel('Contact', person, options={
            'db_table': 'contacts', 'abstract': False, 'unique_together': {('account', 'email')}}),
        migrations.CreateModel('Lead', person, options={
            'db_table': 'leads', 'abstract': False, 'unique_together': {('account', 'email')}}),
    ]
