from django.db import Error, connection, transaction


def promote(contacts, source_type, source_name):
    """Make contacts marketing contacts; False if the tier has no room for all of them."""
    try:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute('SELECT contacts_tier.set_source(%s, %s)', [source_type, source_name])
            contacts.update(marketing_contact_status='marketing')
    except Error as error:
        if error.__cause__.pgcode != 'MC001':
            raise
        return False
    return True
