"""Stand-ins for the services that modelcar talks to: real servers on loopback, with faults on demand."""
