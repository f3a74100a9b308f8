"""Settings of the application that test/clients/django.pl runs."""

import os

SECRET_KEY = 'test'
INSTALLED_APPS = ['crm']
USE_TZ = True
DEFAULT_AUTO_FIELD = 'django.db.models.BigAutoField'
DATABASES = {'default': {
    'ENGINE': 'django.db.backends.postgresql',
    'NAME': os.environ['PGDATABASE'],
    'HOST': os.environ['PGHOST'],
    'PORT': os.environ['PGPORT'],
    'USER': os.environ['PGUSER'],
}}
