"""Runs queries over an archive in DuckDB, which stands in for Athena; see tests/infra/test_archive.py.

Standard input: {"files", "columns", "queries": [[sql, parameters]]}. Standard output: the rows of each query.
"""

import json
import sys

import duckdb


def main() -> None:
    """Reads the job, and prints the rows."""
    job = json.load(sys.stdin)
    database = duckdb.connect()
    database.execute("SET TimeZone = 'UTC'")
    columns = ", ".join(f"'{name}': '{kind}'" for name, kind in job["columns"].items())
    database.execute(  # the test's own names, no one's input
        f"CREATE VIEW audit AS SELECT * FROM read_json('{job['files']}', format = 'newline_delimited',"
        f" columns = {{{columns}}}, hive_partitioning = true, hive_types = {{'day': VARCHAR}},"
        " filename = '$path')"
    )
    database.execute("CREATE MACRO approx_percentile(value, share) AS quantile_disc(value, share)")
    answers = []
    for sql, parameters in job["queries"]:
        found = database.execute(sql, parameters)
        names = [each[0].lower() for each in found.description]
        answers.append([dict(zip(names, row, strict=True)) for row in found.fetchall()])
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
