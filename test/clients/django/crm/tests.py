"""What an application tests of its own: the tests of "manage.py test"."""

from django.db import Error, connection, transaction
from django.test import TestCase, TransactionTestCase

from .fields import MarketingStatus
from .models import Account, Contact
from .promote import promote


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def usage():
    return query("SELECT marketing_contacts, pending_non_marketing FROM contacts_tier.usage('contacts', 1)")


def subscribe():
    Account.objects.create(id=1, name='Harbor Books')
    query("SELECT contacts_tier.subscribe('contacts', 1, 'test', on_exceed => 'block')")


def contacts(count):
    return [Contact(account_id=1, email=f'{n}@example.com', marketing_contact_status=MarketingStatus.MARKETING)
            for n in range(count)]


class RolledBack(TestCase):
    """Each test is a transaction that is rolled back, contacts and counters alike."""

    @classmethod
    def setUpTestData(cls):
        query("SELECT contacts_tier.create_plan('test', ARRAY[5])")
        subscribe()
        Contact.objects.bulk_create(contacts(1))

    def test_demote(self):
        Contact.objects.update(marketing_contact_status=MarketingStatus.NON_MARKETING)
        self.assertEqual(usage(), [(1, 1)])

    def test_full(self):
        Contact.objects.all().delete()
        with self.assertRaises(Error) as refused, transaction.atomic():
            Contact.objects.bulk_create(contacts(6))
        self.assertEqual(refused.exception.__cause__.pgcode, 'MC001')
        Contact.objects.bulk_create(contacts(5))
        self.assertEqual(usage(), [(5, 0)])

    def test_promote(self):
        for contact in contacts(6)[1:]:
            contact.marketing_contact_status = MarketingStatus.NON_MARKETING
            contact.save()
        self.assertFalse(promote(Contact.objects.all(), 'WORKFLOW', 'welcome'))
        self.assertTrue(promote(Contact.objects.exclude(email='5@example.com'), 'WORKFLOW', 'welcome'))
        self.assertEqual(usage(), [(5, 0)])
        self.assertEqual(Contact.objects.get(email='4@example.com').marketing_contact_status_source_name, 'welcome')

    def test_untouched(self):
        self.assertEqual(usage(), [(1, 0)])


class Committed(TransactionTestCase):
    """Each test commits; Django truncates the tables of models, and knows no companion tables."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        query("SELECT contacts_tier.create_plan('test', ARRAY[5])")

    def setUp(self):
        subscribe()
        Contact.objects.bulk_create(contacts(2))

    def tearDown(self):
        query("SELECT contacts_tier.reset('contacts')")

    def test_delete(self):
        Contact.objects.first().delete()
        self.assertEqual(usage(), [(1, 0)])

    def test_untouched(self):
        self.assertEqual(usage(), [(2, 0)])
