"""Many processes on one machine: the supervisor that starts them and the dispatcher that gives each socket its worker."""
