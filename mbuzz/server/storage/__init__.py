"""Where everything is kept, behind one port."""
