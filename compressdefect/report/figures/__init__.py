"""The figures of a report, one per file: ``compute(evidence)`` gives the data, ``draw(data)`` the picture."""
