"""The models of an application with SQLAlchemy; attach() has added the five columns."""

import enum

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Enum, ForeignKey, Identity, Text, UniqueConstraint
from sqlalchemy.orm import declarative_base

Base = declarative_base()


class MarketingStatus(enum.Enum):
    non_marketing = 'non_marketing'
    marketing = 'marketing'


class HasMarketingStatus:
    """What attach() has added. The type exists, and NULL gives no status."""

    marketing_contact_status = Column(
        Enum(MarketingStatus, name='marketing_status', schema='contacts_tier', create_type=False))
    marketing_contact_until_next_update = Column(Boolean)
    marketing_contact_status_source_type = Column(Text)
    marketing_contact_status_source_name = Column(Text)
    marketing_contact_status_updated_at = Column(DateTime(timezone=True))


class Account(Base):
    __tablename__ = 'account'
    id = Column(BigInteger, primary_key=True)
    name = Column(Text, nullable=False)


class Contact(HasMarketingStatus, Base):
    __tablename__ = 'contacts'
    __table_args__ = (UniqueConstraint('account_id', 'email'),)
    id = Column(BigInteger, Identity(), primary_key=True)
    account_id = Column(ForeignKey('account.id'), nullable=False)
    email = Column(Text, nullable=False)
    name = Column(Text, nullable=False, server_default='')


class Lead(HasMarketingStatus, Base):
    __tablename__ = 'leads'
    __table_args__ = (UniqueConstraint('account_id', 'email'),)
    id = Column(BigInteger, Identity(), primary_key=True)
    account_id = Column(ForeignKey('account.id'), nullable=False)
    email = Column(Text, nullable=False)
    name = Column(Text, nullable=False, server_default='')
