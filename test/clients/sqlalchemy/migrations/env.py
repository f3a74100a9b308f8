from alembic import context
from models import Base
from sqlalchemy import create_engine


def include_object(thing, name, kind, reflected, compare_to):
    """Leave out what attach() has created: columns with defaults and comments, companion tables, an index."""
    if kind == 'column':
        return not name.startswith('marketing_contact_')
    return not (reflected and 'contacts_tier_' in name)


with create_engine('postgresql+psycopg2://').connect() as connection:
    context.configure(connection=connection, target_metadata=Base.metadata,
                      include_object=include_object, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()
