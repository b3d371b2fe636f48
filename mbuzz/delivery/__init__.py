"""From bytes to the API: the queue, its worker and the connection."""
