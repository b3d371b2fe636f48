"""Which view answers which path."""

from django.urls import path

from shop import views

urlpatterns = [
    path("", views.home),
    path("products/<name>", views.product),
    path("sign-up", views.sign_up),
    path("log-in", views.log_in),
    path("checkout", views.checkout),
]
