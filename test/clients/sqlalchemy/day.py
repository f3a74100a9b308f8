"""A day with SQLAlchemy: the unit of work of the ORM, and the upsert of its core."""

import logging

from sqlalchemy import case, create_engine, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from models import Contact, Lead, MarketingStatus
from seen import CAPPED, ok, refused, same

MARKETING, NON_MARKETING = MarketingStatus.marketing, MarketingStatus.non_marketing

engine = create_engine('postgresql+psycopg2://', future=True)


def set_source(session, source_type, source_name):
    """The source of what the session's transaction does."""
    session.execute(select(func.set_config('contacts_tier.source_type', source_type, True),
                           func.set_config('contacts_tier.source_name', source_name, True)))


def find(session, email, model=Contact):
    return session.execute(select(model).where(model.email == email + '@example.com')).scalar_one()


def status(email, model=Contact):
    with Session(engine) as session:
        contact = find(session, email, model)
        return contact.marketing_contact_status, contact.marketing_contact_until_next_update


# create
with Session(engine) as session, session.begin():
    set_source(session, 'FORM', 'signup')
    ada = Contact(account_id=1, email='ada@example.com', marketing_contact_status=MARKETING)
    session.add(ada)
    session.flush()
    session.refresh(ada)
    same(ada.marketing_contact_status_source_type, 'FORM', 'create: refresh() has the source')

# bulk create
imported = {'account_id': 1, 'marketing_contact_status_source_type': 'IMPORT',
            'marketing_contact_status_source_name': 'list.csv'}
with Session(engine) as session, session.begin():
    session.add_all(Contact(email=f'b{n}@example.com', marketing_contact_status=MARKETING if n <= 3 else None, **imported)
                    for n in range(1, 7))
with Session(engine) as session:
    count = session.execute(select(func.count()).where(Contact.marketing_contact_status == MARKETING,
                                                       Contact.account_id == 1)).scalar()
same(count, 4, 'add_all(), and a condition on the status')

# upsert
imported.update(name='upserted', marketing_contact_status_source_name='again.csv')
new = insert(Contact).values([
    {**imported, 'email': 'b4@example.com', 'marketing_contact_status': MARKETING},
    {**imported, 'email': 'b5@example.com', 'marketing_contact_status': None},
    {**imported, 'email': 'c1@example.com', 'marketing_contact_status': None}])
new = new.on_conflict_do_update(index_elements=['account_id', 'email'], set_={
    column: new.excluded[column] for column in (
        'name', 'marketing_contact_status', 'marketing_contact_status_source_type', 'marketing_contact_status_source_name')})
with Session(engine) as session, session.begin():
    session.execute(new)
same([status(email)[0] for email in ('b4', 'b5', 'c1')], [MARKETING, NON_MARKETING, NON_MARKETING],
     'on_conflict_do_update()')

# update: the unit of work writes what has changed
with Session(engine) as session, session.begin():
    contact = find(session, 'b5')
    contact.marketing_contact_status = MARKETING
same(status('b5'), (MARKETING, None), 'update')


# save: whole rows, as merge() or a mapper without a unit of work writes them
def row(contact):
    return {column.key: getattr(contact, column.key) for column in contact.__table__.columns}


def save(session, model, values):
    session.execute(update(model).where(model.id == values['id']).values(values)
                    .execution_options(synchronize_session=False))


for model in (Contact, Lead):
    with Session(engine) as session, session.begin():
        people = select(model).where(model.account_id == 3).order_by(model.id)
        rows = [row(contact) | {'name': 'typo'} for contact in session.execute(people).scalars()]
        for values in rows:
            save(session, model, values)
        session.expire_all()
        same([row(contact) for contact in session.execute(people).scalars()], rows,
             f'whole rows: only names change in {model.__tablename__}')
    with Session(engine) as session, session.begin():
        set_source(session, 'WORKFLOW', 'welcome')
        save(session, model, rows[2] | {'marketing_contact_status': MARKETING})
    same(status('plain', model), (MARKETING, None), f'whole rows: promotes in {model.__tablename__}')

# bulk update
with Session(engine) as session, session.begin():
    session.execute(
        update(Contact).where(Contact.email.in_([f'b{n}@example.com' for n in (1, 2, 6)]))
        .values(marketing_contact_status=case((Contact.email == 'b6@example.com', 'marketing'), else_='non_marketing'))
        .execution_options(synchronize_session=False))
same([status(f'b{n}') for n in (1, 2, 6)], [(MARKETING, True), (MARKETING, True), (MARKETING, None)], 'update() with case()')
with Session(engine) as session, session.begin():
    session.execute(update(Contact).where(Contact.email == 'b2@example.com').values(marketing_contact_status=MARKETING))
same(status('b2'), (MARKETING, None), 'update()')

# delete
with Session(engine) as session, session.begin():
    same(session.execute(delete(Contact).where(Contact.email == 'b3@example.com')).rowcount, 1, 'delete()')

# transaction with savepoint
with Session(engine) as session, session.begin():
    set_source(session, 'WORKFLOW', 'welcome')
    session.execute(update(Contact).where(Contact.email == 'c1@example.com').values(marketing_contact_status=MARKETING))
    with refused('MC001 and its fields', DBAPIError, lambda error: (error.orig.pgcode, error.orig.diag)):
        with session.begin_nested():
            session.execute(insert(Contact).values([
                {'account_id': 1, 'email': f'd{n}@example.com', 'marketing_contact_status': MARKETING}
                for n in range(1, 11)]))
same(status('c1'), (MARKETING, None), 'what was before the savepoint stays')

# cap: the driver's notices go to a logger
notices = []
logger = logging.getLogger('sqlalchemy.dialects.postgresql')
logger.setLevel(logging.INFO)
logger.addHandler(type('Notices', (logging.Handler,), {'emit': lambda self, record: notices.append(record.getMessage())})())
with Session(engine) as session, session.begin():
    session.execute(insert(Contact).values([
        {'account_id': 2, 'email': f'e{n}@example.com', 'marketing_contact_status': MARKETING} for n in range(1, 8)]))
same(len(notices), 1, 'cap: one warning')
ok(notices and notices[0].startswith('WARNING:  ' + CAPPED), 'cap: its text', notices)
print('done')
