"""A day with Django."""

import django
from django.db import Error, connection, transaction
from django.db.models import Case, Value, When

django.setup()

from crm.fields import MarketingStatus  # noqa: E402
from crm.models import Contact, Lead  # noqa: E402
from seen import CAPPED, ok, refused, same  # noqa: E402

MARKETING, NON_MARKETING = MarketingStatus.MARKETING, MarketingStatus.NON_MARKETING


def set_source(source_type, source_name):
    """The source of what the current transaction does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('contacts_tier.source_type', %s, true),"
                       "       set_config('contacts_tier.source_name', %s, true)", [source_type, source_name])


def get(email, model=Contact):
    return model.objects.get(email=email + '@example.com')


def status(email, model=Contact):
    contact = get(email, model)
    return contact.marketing_contact_status, contact.marketing_contact_until_next_update


def all_but_name(contact):
    return {field.attname: getattr(contact, field.attname)
            for field in contact._meta.concrete_fields if field.name != 'name'}


# create
with transaction.atomic():
    set_source('FORM', 'signup')
    ada = Contact.objects.create(account_id=1, email='ada@example.com', marketing_contact_status=MARKETING)
ada.refresh_from_db()
same(ada.marketing_contact_status_source_type, 'FORM', 'create: refresh_from_db() has the source')

# bulk create
imported = {'account_id': 1, 'marketing_contact_status_source_type': 'IMPORT',
            'marketing_contact_status_source_name': 'list.csv'}
Contact.objects.bulk_create(
    Contact(email=f'b{n}@example.com', marketing_contact_status=MARKETING if n <= 3 else None, **imported)
    for n in range(1, 7))
same(Contact.objects.filter(marketing_contact_status=MARKETING, account=1).count(), 4, 'bulk_create(), filter()')

# update_or_create
imported['marketing_contact_status_source_name'] = 'again.csv'
Contact.objects.update_or_create(account_id=1, email='b4@example.com', defaults={
    'name': 'upserted', 'marketing_contact_status': MARKETING, **imported})
Contact.objects.update_or_create(account_id=1, email='b5@example.com', defaults={'name': 'upserted'})
Contact.objects.update_or_create(account_id=1, email='c1@example.com', defaults={'name': 'upserted', **imported})
same([status(email)[0] for email in ('b4', 'b5', 'c1')], [MARKETING, NON_MARKETING, NON_MARKETING], 'update_or_create()')

# update
same(Contact.objects.filter(email='b5@example.com').update(
    marketing_contact_status=MARKETING), 1, 'update()')

# save: whole rows.  A typo is corrected, which neither promotes nor demotes, nor changes the source.
for model in (Contact, Lead):
    for settings in (None, ('WORKFLOW', 'typos')):
        for email in ('flagged', 'set', 'plain'):
            contact = get(email, model)
            before = all_but_name(contact)
            with transaction.atomic():
                if settings:
                    set_source(*settings)
                contact.name = 'typo'
                contact.save()
            contact.refresh_from_db()
            same(all_but_name(contact), before, f'save() of {email} in {contact._meta.db_table}, settings {settings}')
    with transaction.atomic():
        set_source('WORKFLOW', 'welcome')
        contact.marketing_contact_status = MARKETING
        contact.save()
    same(status('plain', model), (MARKETING, None), f'save() promotes in {contact._meta.db_table}')

# bulk_update
contacts = [get(email) for email in ('b1', 'b2', 'b6')]
for contact, value in zip(contacts, (NON_MARKETING, NON_MARKETING, MARKETING)):
    contact.marketing_contact_status = value
Contact.objects.bulk_update(contacts, ['marketing_contact_status'])
same([status(email) for email in ('b1', 'b2', 'b6')], [(MARKETING, True), (MARKETING, True), (MARKETING, None)],
     'bulk_update()')
Contact.objects.filter(email__in=['b1@example.com', 'b2@example.com']).update(
    marketing_contact_status=Case(When(email='b2@example.com', then=Value('marketing')), default=Value('non_marketing')))
same([status(email) for email in ('b1', 'b2')], [(MARKETING, True), (MARKETING, None)], 'update() with Case')

# delete
same(get('b3').delete()[0], 1, 'delete()')

# transaction with savepoint
with transaction.atomic():
    set_source('WORKFLOW', 'welcome')
    Contact.objects.filter(email='c1@example.com').update(marketing_contact_status=MARKETING)
    with refused('MC001 and its fields', Error, lambda error: (error.__cause__.pgcode, error.__cause__.diag)):
        with transaction.atomic():
            Contact.objects.bulk_create(Contact(account_id=1, email=f'd{n}@example.com', marketing_contact_status=MARKETING)
                                        for n in range(1, 11))
    same(status('c1'), (MARKETING, None), 'what was before the savepoint stays')

# cap
del connection.connection.notices[:]
Contact.objects.bulk_create(Contact(account_id=2, email=f'e{n}@example.com', marketing_contact_status=MARKETING)
                            for n in range(1, 8))
same(len(connection.connection.notices), 1, 'cap: one warning')
ok(connection.connection.notices[0].startswith('WARNING:  ' + CAPPED), 'cap: its text', connection.connection.notices)
print('done')
