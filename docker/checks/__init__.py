"""The topologies, started and tried from outside. One module a topology, each with
`check(report)`; what they share is in report, stack and load."""
