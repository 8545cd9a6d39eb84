"""The operators' live dashboard: what the control loop knows, once a second, on a page of the admin and over room `ops`."""
