"""One module a measurement: ``measure(subject, plan)`` returns what goes into the result file."""
