"""Ends the backend at the worst moments, and looks whether anything was lost."""
