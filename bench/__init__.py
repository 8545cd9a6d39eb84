"""What WedSync Realtime carries, beside other servers, on this machine. `script/bench --help`."""
