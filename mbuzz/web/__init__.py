"""Framework-neutral: page views, cookies and the exchange with the backend."""
