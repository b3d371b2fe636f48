"""A user model whose key is no number."""

import uuid

from django.contrib.auth.models import AbstractUser
from django.db import models


class Person(AbstractUser):
    """Somebody with an account."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
