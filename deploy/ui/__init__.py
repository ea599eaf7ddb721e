"""The web page over ClickHouse: pages made of statements, their charts and tables, served on loopback.

A page is a list of sections; a section is a statement with its parameters, and a chart of its rows. From it
follow the picture, the table, the SQL behind its button, and the CSV and PNG downloads.
"""

__all__ = ["pages", "report", "server", "upstream"]
